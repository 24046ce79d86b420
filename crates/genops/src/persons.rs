//! Persons: customers and sessions are known by pseudonyms below this, and by what callers say above.
//!
//! On the way in, a pseudonym takes the place of each value that says who a customer is or which session it is; on the way
//! out, the value stands there again, until it is erased. What decides, proves and is exported knows pseudonyms alone.
//!
//! A person that is seen for the first time gets a number and a salt, and is kept in the very batch with the entry that
//! names it. So there is no row without an entry, and no entry without its row. The numbers rise from entry to entry,
//! since a command is submitted under the same lock as its persons are numbered.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use genops_core::ledger::{Act, Admit, Books, Command, Entry, Grant, Idempotency};
use genops_core::naming::OfAny;
use genops_core::person::{self, Person};
use genops_core::policy::Policy;
use genops_core::record::AwuRecord;
use genops_core::selector::{Facet, Share};
use genops_core::{Digest, Name, Timestamp};
use genops_ledger::source::open_persons;
use genops_ledger::store::PersonReader;
use genops_ledger::views::Filter;
use genops_ledger::{Ledger, LedgerError, Posted, StoreError};
use tokio::sync::watch;

use crate::clock;

#[cfg(test)]
mod tests;

/// The persons of one ledger.
pub struct Persons {
    known: Mutex<Known>,
    /// The policies that were adopted last and name persons: each as its caller has it, and as the journal has it.
    versions: RwLock<VecDeque<(Digest, Digest)>>,
    /// How many were erased by this process.
    erasures: watch::Sender<u64>,
}

/// What is known, and where the rest is found.
struct Known {
    kept: Box<dyn PersonReader>,
    /// The highest number that was given.
    last: u64,
    /// Who was met last, and who before that. Of the rest it is looked up again.
    young: Met,
    old: Met,
    /// Who is erased by an entry that may not be durable yet, and so may still be found.
    erasing: Vec<Erasing>,
    /// The last durable entry; `None` where nothing is written.
    durable: Option<watch::Receiver<u64>>,
}

#[derive(Default)]
struct Met {
    by_value: HashMap<(Facet, Name), Arc<One>>,
    by_number: HashMap<u64, Arc<One>>,
}

struct One {
    person: Person,
    pseudonym: Name,
    /// The entry that it is kept with.
    sequence: u64,
}

struct Erasing {
    one: Arc<One>,
    /// The entry that says it.
    sequence: u64,
}

/// So many are remembered twice over before it is looked up again who they are.
const MET_MAX: usize = if cfg!(test) { 4 } else { 16_384 };

/// Admissions may still come under the policy before, while another is adopted.
const VERSIONS_MAX: usize = 2;

/// A person that was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// What stands for it in entries, for good.
    pub pseudonym: Name,
    /// The entry that says so.
    pub sequence: u64,
}

/// Why nobody was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// No entry names it, or it was erased before.
    #[error("this ledger knows nobody by this {0}: no entry was ever about it, or it was erased before")]
    Unknown(Facet),
    /// The policy in force names it.
    #[error(
        "the policy in force names this {0}, so its value has to stay known: take it out of the configuration first, then \
         erase it"
    )]
    Named(Facet),
    /// The facet says nothing of a person.
    #[error("a {0} is no person; customers and sessions are erased")]
    NotPersonal(Facet),
    /// The reason names it, and would stay.
    #[error("the reason names the {0} that it is about, and stays in the journal for good: say it without")]
    InReason(Facet),
    /// Who does it has a name that says it, and that would stay.
    #[error(
        "the name of who erases says the {0} that it is about, and stays in the journal for good: use a key with another name, \
         or in a ledger file another `--author`"
    )]
    InAuthor(Facet),
    /// The ledger did not take it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Persons {
    /// Those of a ledger that is open for writing.
    pub(crate) fn of(ledger: &Ledger) -> Result<Self, StoreError> {
        Self::over(ledger.persons()?, Some(ledger.watch()))
    }

    /// Those of a ledger file, for whoever only reads it; nobody where it is an export.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be read.
    pub fn of_file(path: &Path) -> Result<Self, StoreError> {
        Self::over(open_persons(path)?, None)
    }

    /// Those of files that are one journal: of the last, which is the ledger where there is one.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    pub fn of_files(paths: &[PathBuf]) -> Result<Self, StoreError> {
        let last = paths.last();
        Self::of_file(last.ok_or_else(|| StoreError::Failed { what: "no file was given".to_owned() })?)
    }

    fn over(
        mut kept: Box<dyn PersonReader>,
        durable: Option<watch::Receiver<u64>>,
    ) -> Result<Self, StoreError> {
        let last = kept.last()?;
        let (young, old, erasing) = (Met::default(), Met::default(), Vec::new());
        let known = Known { kept, last, young, old, erasing, durable };
        let erasures = watch::Sender::new(0);
        Ok(Self { known: Mutex::new(known), versions: RwLock::default(), erasures })
    }

    /// How many were erased by this process. It rises once nobody is told their values any more.
    pub(crate) fn erasures(&self) -> watch::Receiver<u64> {
        self.erasures.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === the way in ===

    /// Submits a request for admission, with pseudonyms in it.
    pub(crate) fn admit(
        &self,
        ledger: &Ledger,
        wall: Timestamp,
        mut request: Admit,
    ) -> Result<Posted, LedgerError> {
        request.assessed_under = request.assessed_under.map(|version| self.in_journal(version));
        let is_one = |facet: &Facet| {
            let value = request.proposal.facet(*facet);
            value.is_some_and(|value| stands_for_one(*facet, value))
        };
        if !Facet::ALL.iter().any(is_one) {
            return ledger.submit(wall, Command::Admit(Arc::new(request)));
        }
        self.known().submit(ledger, wall, |entering| {
            request.proposal.rename(&mut |facet, value| entering.pseudonym(facet, value));
            let labels = &request.proposal.labels;
            let persons = [labels.customer_id.clone(), labels.session_id.clone()];
            if let Some(idempotency) = &mut request.idempotency {
                idempotency.payload = about_persons(idempotency, &persons);
            }
            Command::Admit(Arc::new(request))
        })
    }

    /// Submits the adoption of a policy, with pseudonyms in it; `None` where it is in force already.
    pub(crate) fn adopt(
        &self,
        ledger: &Ledger,
        wall: Timestamp,
        policy: &Arc<Policy>,
    ) -> Result<Option<Posted>, LedgerError> {
        let mut known = self.known();
        let mut entering = Entering { known: &mut known, new: Vec::new(), failed: None };
        let mut renamed = Policy::clone(policy);
        renamed.rename(&mut |facet, value| entering.pseudonym(facet, value));
        let new = entering.end()?;
        let (version, in_journal) = (policy.version(), renamed.version());
        self.remember(version, in_journal);
        if ledger.read(Books::policy_version)? == in_journal {
            return Ok(None);
        }
        let policy = if version == in_journal { Arc::clone(policy) } else { Arc::new(renamed) };
        let command = Command::AdoptPolicy(policy);
        let posted = known.submit_with(ledger, wall, command, new);
        if posted.is_err() {
            self.forget(version);
        }
        posted.map(Some)
    }

    /// Submits a grant, with pseudonyms in it.
    pub(crate) fn grant(
        &self,
        ledger: &Ledger,
        wall: Timestamp,
        mut grant: Grant,
    ) -> Result<Posted, LedgerError> {
        self.known().submit(ledger, wall, |entering| {
            for Share { facet, value } in &mut grant.each {
                let other = value.as_ref().and_then(|value| entering.pseudonym(*facet, value));
                *value = other.or_else(|| value.take());
            }
            Command::Grant(Arc::new(grant))
        })
    }

    /// Submits that a person is erased. From now on its value is somebody else's, if it ever comes again.
    pub(crate) fn erase(
        &self,
        ledger: &Ledger,
        wall: Timestamp,
        facet: Facet,
        value: &Name,
        act: Act,
    ) -> Result<(Name, Posted), EraseError> {
        if !facet.is_personal() {
            return Err(EraseError::NotPersonal(facet));
        }
        if has_word(act.reason.as_str(), value.as_str()) {
            return Err(EraseError::InReason(facet));
        }
        if has_word(act.author.as_str(), value.as_str()) {
            return Err(EraseError::InAuthor(facet));
        }
        let mut known = self.known();
        let one = known.one(facet, value).map_err(LedgerError::Failed)?.ok_or(EraseError::Unknown(facet))?;
        let pseudonym = one.pseudonym.clone();
        if ledger.read(|books| is_named(books.policy(), facet, value, &pseudonym))? {
            return Err(EraseError::Named(facet));
        }
        let posted = ledger.submit(wall, Command::Erase { pseudonym: pseudonym.clone(), act })?;
        known.young.forget(&one);
        known.old.forget(&one);
        known.erasing.push(Erasing { one, sequence: posted.entry.sequence });
        drop(known);
        self.erasures.send_modify(|erasures| *erasures = erasures.saturating_add(1));
        Ok((pseudonym, posted))
    }

    /// The question for AWUs that the journal's names answer, to one by what callers say; `None` where it asks for somebody
    /// whom nobody knows, so that there are none. A pseudonym may be said as well, which is how one who was erased is asked
    /// for. Nobody is kept for having been asked for.
    pub(crate) fn asked(&self, filter: &Filter) -> Result<Option<Filter>, StoreError> {
        let mut asked = filter.clone();
        let said = [
            (Facet::Team, &mut asked.team),
            (Facet::Project, &mut asked.project),
            (Facet::Environment, &mut asked.environment),
            (Facet::Feature, &mut asked.feature),
            (Facet::CostCenter, &mut asked.cost_center),
            (Facet::CustomerId, &mut asked.customer_id),
            (Facet::SessionId, &mut asked.session_id),
            (Facet::Key, &mut asked.key),
            (Facet::OperationType, &mut asked.operation_type),
            (Facet::Provider, &mut asked.provider),
            (Facet::Model, &mut asked.model),
        ];
        for (facet, said) in said {
            let Some(value) = said.as_ref() else { continue };
            match self.name_asked(facet, value)? {
                Some(name) => *said = Some(name),
                None => return Ok(None),
            }
        }
        Ok(Some(asked))
    }

    /// What the journal has for a value that is asked for; `None` where it has nothing.
    fn name_asked(&self, facet: Facet, said: &str) -> Result<Option<String>, StoreError> {
        let Ok(value) = Name::new(said) else { return Ok(None) };
        if !stands_for_one(facet, &value) {
            return Ok(Some(said.to_owned()));
        }
        let one = self.known().one(facet, &value)?;
        let itself = person::number(&value).map(|_| said.to_owned());
        Ok(one.map(|one| one.pseudonym.to_string()).or(itself))
    }

    /// The version of a policy as the journal has it, where it names persons and was adopted lately.
    fn in_journal(&self, version: Digest) -> Digest {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        let found = versions.iter().find(|(of_caller, _)| *of_caller == version);
        found.map_or(version, |(_, in_journal)| *in_journal)
    }

    fn remember(&self, version: Digest, in_journal: Digest) {
        self.forget(version);
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        if version != in_journal {
            versions.push_back((version, in_journal));
        }
        while versions.len() > VERSIONS_MAX {
            versions.pop_front();
        }
    }

    fn forget(&self, version: Digest) {
        let mut versions = self.versions.write().unwrap_or_else(PoisonError::into_inner);
        versions.retain(|(of_caller, _)| *of_caller != version);
    }

    // === the way out ===

    /// Whom a pseudonym stands for; `None` where it is none, or was erased.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn value(&self, pseudonym: &Name) -> Result<Option<Name>, StoreError> {
        match person::number(pseudonym) {
            Some(number) => self.known().value(number, pseudonym),
            None => Ok(None),
        }
    }

    /// Renames something, each pseudonym by whom it stands for.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn reveal<T>(&self, rename: impl FnOnce(&mut OfAny<'_>) -> T) -> Result<T, StoreError> {
        let mut failed = None;
        let renamed = rename(&mut |name| match self.value(name) {
            Ok(value) => value,
            Err(error) => {
                failed = Some(error);
                None
            }
        });
        failed.map_or(Ok(renamed), Err)
    }

    /// A record that says whom its pseudonyms stand for.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn record(&self, record: AwuRecord) -> Result<AwuRecord, StoreError> {
        if !record.names_persons() {
            return Ok(record);
        }
        self.reveal(|other| record.renamed(other))
    }

    /// An entry that says whom its pseudonyms stand for. It is not the one that the chain covers.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn entry(&self, mut entry: Entry) -> Result<Entry, StoreError> {
        self.reveal(|other| {
            entry.rename(other);
            entry
        })
    }
}

impl std::fmt::Debug for Persons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Persons")
    }
}

/// Whether a value has a pseudonym in the journal: a personal one, and also any other that has the form of one, so that
/// nobody takes it for somebody's on the way out.
fn stands_for_one(facet: Facet, value: &Name) -> bool {
    facet.is_personal() || person::number(value).is_some()
}

/// The digest of a request that is about persons: by their pseudonyms, since one over their values could be found by trying.
fn about_persons(idempotency: &Idempotency, persons: &[Option<Name>; 2]) -> Digest {
    Digest::of_value("genops request 1", &(idempotency.payload, persons))
}

/// Whether a policy names a person: in a selector, or as a text in a condition.
fn is_named(policy: &Policy, facet: Facet, value: &Name, pseudonym: &Name) -> bool {
    let quoted = [format!("\"{value}\""), format!("'{value}'")];
    let mut expressions = policy.conditions.iter().map(|rule| &rule.expression);
    policy.names(facet, pseudonym)
        || expressions.any(|expression| quoted.iter().any(|quoted| expression.contains(quoted)))
}

/// Whether a value stands in a text, and not only as a part of a word.
fn has_word(text: &str, value: &str) -> bool {
    text.match_indices(value).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at.saturating_add(found.len())..).and_then(|after| after.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// A command on its way in, and the persons that it is the first to name.
struct Entering<'a> {
    known: &'a mut Known,
    new: Vec<Person>,
    failed: Option<StoreError>,
}

impl Entering<'_> {
    /// What stands for a value; `None` where it stands for itself.
    fn pseudonym(&mut self, facet: Facet, value: &Name) -> Option<Name> {
        if !stands_for_one(facet, value) || self.failed.is_some() {
            return None;
        }
        let mut new = self.new.iter();
        if let Some(person) = new.find(|person| person.facet == facet && person.value == *value) {
            return Some(person.pseudonym());
        }
        match self.known.one(facet, value) {
            Ok(Some(one)) => return Some(one.pseudonym.clone()),
            Ok(None) => {}
            Err(error) => {
                self.failed = Some(error);
                return None;
            }
        }
        let number = self.new.last().map_or(self.known.last, |person| person.number).saturating_add(1);
        let person = Person { number, facet, value: value.clone(), salt: clock::random_salt() };
        let pseudonym = person.pseudonym();
        self.new.push(person);
        Some(pseudonym)
    }

    /// The new persons.
    fn end(self) -> Result<Vec<Person>, LedgerError> {
        self.failed.map_or(Ok(self.new), |error| Err(LedgerError::Failed(error)))
    }
}

impl Known {
    /// Submits a command that `enter` makes, with the persons that it is the first to name.
    fn submit(
        &mut self,
        ledger: &Ledger,
        wall: Timestamp,
        enter: impl FnOnce(&mut Entering<'_>) -> Command,
    ) -> Result<Posted, LedgerError> {
        let mut entering = Entering { known: self, new: Vec::new(), failed: None };
        let command = enter(&mut entering);
        let new = entering.end()?;
        self.submit_with(ledger, wall, command, new)
    }

    fn submit_with(
        &mut self,
        ledger: &Ledger,
        wall: Timestamp,
        command: Command,
        new: Vec<Person>,
    ) -> Result<Posted, LedgerError> {
        let posted = ledger.submit_with(wall, command, new.clone())?;
        for person in new {
            self.last = person.number;
            self.meet(person, posted.entry.sequence);
        }
        Ok(posted)
    }

    /// The person whose facet has this value.
    fn one(&mut self, facet: Facet, value: &Name) -> Result<Option<Arc<One>>, StoreError> {
        let key = (facet, value.clone());
        if let Some(one) = self.young.by_value.get(&key) {
            return Ok(Some(Arc::clone(one)));
        }
        if let Some(one) = self.old.by_value.get(&key).cloned() {
            return Ok(Some(self.remember(one)));
        }
        // Who is being erased may still be found. This has to be known beforehand: it may become durable meanwhile.
        self.forget_erased();
        let found = self.kept.of_value(facet, value)?;
        let found = found.filter(|person| !self.is_erasing(&person.pseudonym()));
        Ok(found.map(|person| self.meet(person, 0)))
    }

    fn value(&mut self, number: u64, pseudonym: &Name) -> Result<Option<Name>, StoreError> {
        let met = self.young.by_number.get(&number).or_else(|| self.old.by_number.get(&number));
        if let Some(one) = met {
            return Ok((one.pseudonym == *pseudonym).then(|| one.person.value.clone()));
        }
        self.forget_erased();
        if self.is_erasing(pseudonym) {
            return Ok(None);
        }
        let found = self.kept.of_number(number)?.filter(|person| person.pseudonym() == *pseudonym);
        Ok(found.map(|person| self.meet(person, 0).person.value.clone()))
    }

    fn meet(&mut self, person: Person, sequence: u64) -> Arc<One> {
        let pseudonym = person.pseudonym();
        self.remember(Arc::new(One { person, pseudonym, sequence }))
    }

    fn remember(&mut self, one: Arc<One>) -> Arc<One> {
        if self.young.by_number.len() >= MET_MAX {
            // Who is not durable yet would not be found again.
            let durable = self.durable();
            let before = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            let pending = before.by_number.into_values().filter(|one| one.sequence > durable);
            pending.for_each(|one| self.young.take(one));
        }
        self.young.take(Arc::clone(&one));
        one
    }

    /// Lets go of those who cannot be found any more.
    fn forget_erased(&mut self) {
        if !self.erasing.is_empty() {
            let durable = self.durable();
            self.erasing.retain(|erasing| erasing.sequence > durable);
        }
    }

    fn is_erasing(&self, pseudonym: &Name) -> bool {
        self.erasing.iter().any(|erasing| erasing.one.pseudonym == *pseudonym)
    }

    fn durable(&self) -> u64 {
        self.durable.as_ref().map_or(u64::MAX, |durable| *durable.borrow())
    }
}

impl Met {
    fn take(&mut self, one: Arc<One>) {
        let Person { number, facet, value, .. } = &one.person;
        self.by_value.insert((*facet, value.clone()), Arc::clone(&one));
        self.by_number.insert(*number, one);
    }

    fn forget(&mut self, one: &One) {
        let Person { number, facet, value, .. } = &one.person;
        self.by_value.remove(&(*facet, value.clone()));
        self.by_number.remove(number);
    }
}
