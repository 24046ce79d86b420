//! The examples of this repository, run as people run them.

use std::path::Path;
use std::process::{Command, Output};

use genops::ledger::views::Filter;
use genops::report::BudgetReport;
use genops_gateway::stand_in::StandIn;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

use crate::house::{House, JOBS_KEY};

const BUDGETS: &str = "
budgets:
  - {name: compute, for: {operation_type: training}, unit: compute_seconds, limit: 4000, period: month, each: key}
  - {name: agents, for: {operation_type: agent}, unit: USD, limit: 0.05, period: day, each: key}
";

/// Runs an example against a gateway.
async fn run(url: &str, program: &'static str, example: &str, argument: &'static str) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
    let url = url.to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(program);
        command.arg(path).args(Some(argument).filter(|argument| !argument.is_empty()));
        // An environment that asks for a proxy would not reach this machine.
        command.envs([
            ("GENOPS_URL", url.as_str()),
            ("GENOPS_KEY", JOBS_KEY),
            ("NO_PROXY", "*"),
            ("no_proxy", "*"),
        ]);
        command.output()
    });
    ran.await.unwrap().unwrap_or_else(|problem| {
        panic!("`{program}` is needed for this test, and cannot be run ({problem}): apt-get install bash curl python3")
    })
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), format!("{}{}", text(&output.stdout), text(&output.stderr)))
}

async fn budget(house: &House, name: &str) -> BudgetReport {
    let mut budgets = house.budgets().await;
    budgets.retain(|budget| budget.name == name && budget.each == [Some("jobs".to_owned())]);
    budgets.remove(0)
}

fn states(house: &House) -> Vec<String> {
    house.governor.awus(&Filter::default(), 100).unwrap().awus.into_iter().map(|awu| awu.state).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fine_tuning_job_from_a_shell_is_governed_in_compute_seconds() {
    let found = Command::new("curl").arg("--version").output();
    assert!(found.is_ok(), "`curl` is needed for this test: apt-get install curl");
    let house = House::with(StandIn::default(), BUDGETS).await;
    let (code, text) = said(&run(&house.url, "bash", "fine-tuning.sh", "").await);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("settled as completed: 1200 compute_seconds") && text.contains("time until 20"),
        "{text}"
    );
    let compute = budget(&house, "compute").await;
    assert_eq!((compute.used.as_str(), compute.outstanding.as_str()), ("1200", "0"));
    let kinds = house.get("/genops/v1/entries?limit=1000", crate::KEY).await.json();
    let kinds: Vec<_> =
        kinds["entries"].as_array().unwrap().iter().map(|entry| entry["type"].as_str().unwrap()).collect();
    let expected = ["policy_adopted", "admitted", "started"].into_iter();
    let expected = expected.chain(["extended"; 5]).chain(["settled", "reported"]);
    assert_eq!(kinds, expected.collect::<Vec<_>>());

    let (code, text) = said(&run(&house.url, "bash", "fine-tuning.sh", "").await);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("refused with BUDGET_"), "{text}");
    assert_eq!(budget(&house, "compute").await.used, "1200");
    assert_eq!(states(&house), ["REFUSED", "SETTLED"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_in_python_asks_before_each_step_and_stops_where_it_is_refused() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    let (code, text) = said(&run(&house.url, "python3", "agent_loop.py", "").await);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(budget(&house, "agents").await.used, "0.0126", "{text}");
    let awu = house.governor.awus(&Filter::default(), 1).unwrap().awus.remove(0);
    assert_eq!(awu.tokens.map(|tokens| (tokens.input, tokens.output)), Some((803, 120)));

    let (code, text) = said(&run(&house.url, "python3", "agent_loop.py", "100").await);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("of 100, refused with BUDGET_") && !text.contains("Traceback"), "{text}");
    let agents = budget(&house, "agents").await;
    // Each step reserves 0.02 and uses 0.0042: there is room for five more.
    assert_eq!((agents.used.as_str(), agents.outstanding.as_str()), ("0.0336", "0"));
    let states = states(&house);
    assert_eq!((states.len(), states.iter().filter(|state| *state == "SETTLED").count()), (9, 8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_loses_answers_takes_each_step_once() {
    let house = House::with(StandIn::default(), BUDGETS).await;
    let url = losing_every_other_answer(&house).await;
    let (code, text) = said(&run(&url, "python3", "agent_loop.py", "").await);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("sent again"), "{text}");
    assert_eq!(budget(&house, "agents").await.used, "0.0126", "{text}");
    assert_eq!(states(&house), ["SETTLED"; 3]);
}

/// Somebody between the caller and the gateway, who takes every request there and every other answer back.
async fn losing_every_other_answer(house: &House) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = house.url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        for number in 0_u64.. {
            let (caller, _) = listener.accept().await.unwrap();
            let gateway = TcpStream::connect(&gateway).await.unwrap();
            let ((mut from_caller, mut to_caller), (mut from_gateway, mut to_gateway)) =
                (caller.into_split(), gateway.into_split());
            let asking = tokio::spawn(async move { copy(&mut from_caller, &mut to_gateway).await });
            let mut answer = Vec::new();
            let _ = from_gateway.read_buf(&mut answer).await;
            if number % 2 == 1 {
                let _ = to_caller.write_all(&answer).await;
                let _ = copy(&mut from_gateway, &mut to_caller).await;
            }
            asking.abort();
        }
    });
    url
}
