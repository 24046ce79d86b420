//! Persons in the lives of a process: customers of admissions, each kept with the entry that first names it, and erased by
//! other entries.
//!
//! What the library above a ledger does with its table is done here by hand: a process finds there whom the one before has
//! kept, and goes on numbering. What has to be on the disk follows from the entries that are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use genops_core::Name;
use genops_core::ledger::{Act, Command, Entry};
use genops_core::person::Person;
use genops_core::selector::Facet;
use genops_ledger::store::Store;

use crate::disk::Disk;
use crate::random::Random;

/// So few, so that they come again.
const CUSTOMERS: u64 = 8;

/// Whom a process knows.
pub struct Persons {
    known: BTreeMap<Name, Person>,
    last: u64,
}

impl Persons {
    /// Those whom a new process finds.
    pub fn found(disk: &Disk) -> Self {
        let mut reader = disk.persons()().unwrap();
        let customers = (0..CUSTOMERS).map(customer);
        let known = customers.filter_map(|customer| reader.of_value(Facet::CustomerId, &customer).unwrap());
        let known = known.map(|person| (person.value.clone(), person)).collect();
        Self { known, last: reader.last().unwrap() }
    }

    /// Makes a command one that is about a person, now and then: an admission names a customer, and another becomes an
    /// erasure. Gives who is the first to be named by it.
    pub fn enter(&self, random: &mut Random, command: Command) -> (Command, Vec<Person>) {
        let customer = customer(random.below(CUSTOMERS));
        let known = self.known.get(&customer);
        match command {
            Command::Admit(mut request) if random.one_in(2) => {
                let new = known.is_none().then(|| self.new_person(random, &customer));
                let pseudonym = known.or(new.as_ref()).map(Person::pseudonym);
                Arc::make_mut(&mut request).proposal.labels.customer_id = pseudonym;
                (Command::Admit(request), new.into_iter().collect())
            }
            Command::Admit(request) => (Command::Admit(request), Vec::new()),
            other if random.one_in(12) => (known.map_or(other, erasure), Vec::new()),
            other => (other, Vec::new()),
        }
    }

    fn new_person(&self, random: &mut Random, customer: &Name) -> Person {
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&random.below(u64::MAX).to_be_bytes());
        Person { number: self.last + 1, facet: Facet::CustomerId, value: customer.clone(), salt }
    }

    /// A command has its place in the journal.
    pub fn entered(&mut self, entry: &Entry, new: Vec<Person>) {
        for person in new {
            self.last = person.number;
            self.known.insert(person.value.clone(), person);
        }
        if let Some(erased) = erased_by(entry) {
            self.known.retain(|_, person| person.pseudonym() != *erased);
        }
    }
}

fn customer(number: u64) -> Name {
    Name::new(&format!("customer-{number}")).unwrap()
}

fn erasure(person: &Person) -> Command {
    let name = |text| Name::new(text).unwrap();
    Command::Erase {
        pseudonym: person.pseudonym(),
        act: Act { author: name("ops"), reason: name("asked to") },
    }
}

/// The pseudonym of whom an entry erases.
pub fn erased_by(entry: &Entry) -> Option<&Name> {
    match &entry.command {
        Command::Erase { pseudonym, .. } => Some(pseudonym),
        _ => None,
    }
}

/// Whether the disk has whom its entries have kept and not erased, and nobody else. `kept` are those that its entries were
/// the first to name.
pub fn check(disk: &Disk, entries: &[Entry], kept: &[(u64, Person)]) -> Result<(), String> {
    let mut reader = disk.persons()().unwrap();
    let mut current = BTreeMap::new();
    for (sequence, person) in kept {
        let pseudonym = person.pseudonym();
        let erased = entries.iter().find(|entry| erased_by(entry) == Some(&pseudonym));
        let found = reader.of_number(person.number).unwrap();
        match (erased, found) {
            (None, Some(found)) if found == *person => drop(current.insert(&person.value, person.clone())),
            (Some(_), None) => {}
            (None, _) => return Err(format!("{pseudonym} of entry {sequence} is not there as it was kept")),
            (Some(erased), Some(_)) => {
                return Err(format!("{pseudonym} was erased by entry {}, and is there", erased.sequence));
            }
        }
    }
    for customer in (0..CUSTOMERS).map(customer) {
        let found = reader.of_value(Facet::CustomerId, &customer).unwrap();
        if found.as_ref() != current.get(&customer) {
            return Err(format!("{customer} is found as {found:?}"));
        }
    }
    let last = kept.last().map_or(0, |(_, person)| person.number);
    match reader.last().unwrap() {
        found if found == last => Ok(()),
        found => Err(format!("the last of {last} persons has the number {found}")),
    }
}
