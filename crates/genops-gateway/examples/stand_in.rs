//! The stand-in model as a program of its own, for benchmarks: `stand_in PORT [DELAY_MS [PAUSE_MS [WORDS]]]`.
//! It does what `genops_gateway::stand_in` does, with the times of sending in its streams, and nothing else.

use std::time::Duration;

use genops_gateway::stand_in::StandIn;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(4199);
    let mut number = |otherwise| arguments.next().and_then(|number| number.parse().ok()).unwrap_or(otherwise);
    let default = StandIn::default();
    let stand_in = StandIn {
        delay: Duration::from_millis(number(0)),
        pause: Duration::from_millis(number(0)),
        completion_tokens: number(default.completion_tokens),
        stamps: true,
        ..default
    };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    stand_in.serve(listener).await;
    Ok(())
}
