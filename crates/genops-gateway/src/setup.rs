//! What a gateway is set up with, and changing that while it runs.
//!
//! A setup is whole: configuration, the ways to the providers, and the policy with its address. A call takes one and
//! keeps to it; where the ledger has gone on to another policy meanwhile, the call takes the setup that belongs to that
//! one and begins anew. Watching the file is the affair of whoever started the gateway.

use std::sync::Arc;
use std::time::Duration;

use genops::{Governor, LedgerError};
use genops_core::policy::InForce;
use http::uri::InvalidUri;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinError;

use crate::call::Encoding;
use crate::config::Config;
use crate::provider::Provider;
use crate::to_its_end::ToItsEnd;

/// What calls are governed by.
#[derive(Debug)]
pub struct Setup {
    /// What was configured.
    pub config: Config,
    /// The providers, in the configuration's order.
    pub providers: Vec<Arc<Provider>>,
    /// The configuration's policy.
    pub in_force: Arc<InForce>,
}

/// The setup of a running gateway.
#[derive(Debug)]
pub struct Setups {
    current: Arc<watch::Sender<Arc<Setup>>>,
    /// One change at a time.
    changing: Arc<Mutex<()>>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A provider's address is not one.
    #[error(transparent)]
    Provider(#[from] InvalidUri),
    /// It was not set up to its end.
    #[error("setting it up was broken off: {0}")]
    BrokenOff(#[from] JoinError),
    /// The ledger did not take the policy.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The ledger adopts a policy just before calls get the setup; longer than that, something else is wrong.
const ADOPTED_WITHIN: Duration = Duration::from_secs(5);

impl Setup {
    fn new(config: Config, before: Option<&Self>) -> Result<Self, InvalidUri> {
        // A provider that stays as it is keeps its connections.
        let kept = |index: usize| {
            let before = before?;
            let wanted = config.providers.get(index)?;
            let at = before.config.providers.iter().position(|provider| provider == wanted)?;
            before.providers.get(at).cloned()
        };
        let made = |(index, provider)| match kept(index) {
            Some(provider) => Ok(provider),
            None => Provider::new(provider).map(Arc::new),
        };
        let providers = config.providers.iter().enumerate().map(made).collect::<Result<_, _>>()?;
        config.models.encodings().for_each(Encoding::load);
        let in_force = Arc::new(InForce::new(Arc::clone(&config.policy)));
        Ok(Self { config, providers, in_force })
    }
}

impl Setups {
    /// Begins with a configuration, whose policy the governor was opened with.
    ///
    /// # Errors
    ///
    /// A provider's address is not one.
    pub fn new(config: Config) -> Result<Self, InvalidUri> {
        let first = Setup::new(config, None)?;
        Ok(Self { current: Arc::new(watch::Sender::new(Arc::new(first))), changing: Arc::default() })
    }

    /// What calls are governed by now.
    #[must_use]
    pub fn current(&self) -> Arc<Setup> {
        Arc::clone(&self.current.borrow())
    }

    /// Changes to another configuration: its policy becomes an entry, and whatever is decided after that entry is
    /// decided by it. Calls that run go on under the policy that admitted them.
    ///
    /// A change comes to its end also where this is dropped: once the policy is adopted, calls wait for the setup.
    ///
    /// # Errors
    ///
    /// Nothing has changed; or the ledger has failed.
    pub fn change(
        &self,
        governor: &Governor,
        config: Config,
    ) -> impl Future<Output = Result<(), ChangeError>> + Send + use<> {
        let (current, changing) = (Arc::clone(&self.current), Arc::clone(&self.changing));
        let governor = governor.clone();
        ToItsEnd::new(async move {
            let _one = changing.lock().await;
            let before = Arc::clone(&current.borrow());
            // Certificates and encodings are read, which no call should wait for.
            let next = tokio::task::spawn_blocking(move || Setup::new(config, Some(&before))).await??;
            governor.adopt(Arc::clone(&next.config.policy)).await?;
            current.send_replace(Arc::new(next));
            Ok(())
        })
    }

    /// The setup after `old`, whose policy is not in force any more; `None` if it does not come.
    pub async fn after(&self, old: &Arc<Setup>) -> Option<Arc<Setup>> {
        let mut current = self.current.subscribe();
        let other = current.wait_for(|setup| !Arc::ptr_eq(setup, old));
        let found = tokio::time::timeout(ADOPTED_WITHIN, other).await.ok()?.ok()?;
        Some(Arc::clone(&found))
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Poll;

    use genops::Settings;

    use super::*;

    fn config(number: u32) -> Config {
        let text = format!(
            "
providers: [{{name: p, base_url: 'https://127.0.0.1:1/v1'}}]
models: [{{name: m, provider: p, max_output_tokens: 1, bound: {{encoding: o200k_base}}}}]
budgets: [{{name: b, unit: USD, limit: {number}}}]
"
        );
        let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        Config::read("test", &text, &|_| None, &nothing).unwrap()
    }

    async fn begun() -> (Governor, Setups) {
        let first = config(1);
        let settings = Settings::at(genops::LedgerPlace::Memory, Arc::clone(&first.policy));
        let (governor, _) = Governor::open(settings).await.unwrap();
        (governor, Setups::new(first).unwrap())
    }

    #[tokio::test]
    async fn a_change_is_made_to_its_end_wherever_its_caller_goes_away() {
        let (governor, setups) = begun().await;
        for stop in 1..40 {
            let (before, next) = (setups.current(), config(1 + stop));
            {
                let mut change = pin!(setups.change(&governor, next));
                for _ in 0..stop {
                    let polled =
                        std::future::poll_fn(|context| Poll::Ready(change.as_mut().poll(context))).await;
                    if polled.is_ready() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            let after = setups.after(&before).await;
            let after = after.unwrap_or_else(|| panic!("after {stop} steps calls wait for a setup"));
            assert_ne!(after.in_force.version(), before.in_force.version());
        }
    }

    #[test]
    fn a_change_is_set_up_where_no_call_waits_for_it() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        runtime.unwrap().block_on(async {
            let (governor, setups) = begun().await;
            let (free, occupied) = std::sync::mpsc::channel::<()>();
            let occupying = tokio::task::spawn_blocking(move || occupied.recv());
            let mut change = pin!(setups.change(&governor, config(2)));
            // Nothing can be awaited that must not happen.
            let early = tokio::time::timeout(Duration::from_millis(200), change.as_mut()).await;
            assert!(early.is_err(), "it was set up on the thread that calls run on");
            free.send(()).unwrap();
            occupying.await.unwrap().unwrap();
            change.await.unwrap();
        });
    }
}
