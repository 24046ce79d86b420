//! The stand-in model as a program of its own, for benchmarks: `stand_in PORT [DELAY_MS]`.
//! It does what `genops_gateway::stand_in` does and nothing else.

use genops_gateway::stand_in::StandIn;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().and_then(|port| port.parse().ok()).unwrap_or(4199);
    let delay: u64 = arguments.next().and_then(|delay| delay.parse().ok()).unwrap_or(0);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    StandIn { delay: std::time::Duration::from_millis(delay), ..StandIn::default() }.serve(listener).await;
    Ok(())
}
