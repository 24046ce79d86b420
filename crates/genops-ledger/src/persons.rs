//! Persons in the ledger's SQLite file: one row each, found by number and by what they say, and zeroed where they are erased.
//!
//! Nothing of an erased value may stay in the file. SQLite overwrites what it deletes (`secure_delete`), but where it
//! splits or joins pages it leaves copies of the rows that it moved. So no row is ever moved: rows are appended in the
//! order of their numbers, and erasing writes zeros of the same length over one. They are looked up by digests, which are
//! moved; where a person is erased, its table of digests is made anew. What is in the write-ahead log is for the store to
//! remove.

use std::path::{Path, PathBuf};

use genops_core::person::{self, Person};
use genops_core::selector::Facet;
use genops_core::{Digest, Name};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::sqlite::told;
use crate::store::{PersonReader, PersonStep, StoreError};

/// The digests stand in so many tables, by the first of their bytes: one of them is made anew in an erasure, and not all.
/// With more, it takes longer to open a reader: about 0.3 ms with 16, 0.8 with 64, 5 with 256.
const LOOKS: u8 = 64;

/// So much of a digest is looked up by.
const LOOK_BYTES: usize = 16;

/// A table of digests has an insertion and a look-up, each with a statement.
pub(crate) const STATEMENTS: usize = 2 * LOOKS as usize + 16;

/// What stands in a table of digests.
const LOOK_COLUMNS: &str =
    "(look BLOB NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (look, number)) STRICT, WITHOUT ROWID";

/// The tables: the rows, and the digests that they are looked up by.
pub(crate) fn tables() -> String {
    let rows = "CREATE TABLE IF NOT EXISTS persons (
                    number INTEGER PRIMARY KEY,
                    facet TEXT NOT NULL,
                    salt BLOB NOT NULL,
                    value BLOB NOT NULL
                ) STRICT;";
    let looks = (0..LOOKS).map(|place| format!("CREATE TABLE IF NOT EXISTS looks_{place} {LOOK_COLUMNS};"));
    std::iter::once(rows.to_owned()).chain(looks).collect()
}

/// Keeps and erases persons, in the transaction of the frame whose entries first name them. `true` where one was erased.
pub(crate) fn write(connection: &Connection, steps: &[PersonStep]) -> rusqlite::Result<bool> {
    let mut is_erased = false;
    for step in steps {
        match step {
            PersonStep::Keep(person) => keep(connection, person)?,
            PersonStep::Erase(pseudonym) => is_erased |= erase(connection, pseudonym)?,
        }
    }
    Ok(is_erased)
}

fn keep(connection: &Connection, person: &Person) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("INSERT INTO persons (number, facet, salt, value) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![
        stored(person.number),
        person.facet.as_str(),
        person.salt,
        person.value.as_str().as_bytes(),
    ])?;
    insert_look(connection, &Look::of(person.facet, &person.value), stored(person.number))
}

fn insert_look(connection: &Connection, look: &Look, number: i64) -> rusqlite::Result<()> {
    let insert = format!("INSERT INTO {} (look, number) VALUES (?1, ?2)", look.table());
    connection.prepare_cached(&insert)?.execute(params![look.0, number])?;
    Ok(())
}

fn erase(connection: &Connection, pseudonym: &Name) -> rusqlite::Result<bool> {
    let found = person::number(pseudonym).map(|number| of_number(connection, number)).transpose()?.flatten();
    let Some(person) = found.filter(|person| person.pseudonym() == *pseudonym) else { return Ok(false) };
    // Of the same length, so that they are written over what was there.
    let nothing = vec![0_u8; person.value.as_str().len()];
    connection.execute(
        "UPDATE persons SET salt = ?2, value = ?3 WHERE number = ?1",
        params![stored(person.number), [0_u8; 16], nothing],
    )?;
    forget_look(connection, &Look::of(person.facet, &person.value), stored(person.number))?;
    Ok(true)
}

/// Makes a table of digests anew without one, by way of a table in memory. SQLite overwrites the pages that the table had.
fn forget_look(connection: &Connection, look: &Look, number: i64) -> rusqlite::Result<()> {
    let table = look.table();
    connection.execute_batch(&format!("CREATE TEMP TABLE IF NOT EXISTS others {LOOK_COLUMNS};"))?;
    let copy = format!("INSERT INTO temp.others SELECT look, number FROM {table} WHERE number <> ?1");
    connection.execute(&copy, [number])?;
    // Between tables that are alike SQLite copies rows as they are.
    connection.execute_batch(&format!(
        "DELETE FROM {table};
         INSERT INTO {table} SELECT * FROM temp.others;
         DELETE FROM temp.others;"
    ))
}

/// What a person is looked up by.
struct Look([u8; LOOK_BYTES]);

impl Look {
    fn of(facet: Facet, value: &Name) -> Self {
        let digest =
            Digest::of("genops look 1", &[facet.as_str().as_bytes(), &[0], value.as_str().as_bytes()]);
        let mut look = [0; LOOK_BYTES];
        look.iter_mut().zip(digest.bytes()).for_each(|(to, from)| *to = *from);
        Self(look)
    }

    fn table(&self) -> String {
        let [first, ..] = self.0;
        format!("looks_{}", first % LOOKS)
    }
}

/// Reads the persons of a ledger file.
#[derive(Debug)]
pub struct SqlitePersons {
    connection: Connection,
    path: PathBuf,
    /// A ledger that was written before there were any has no table.
    is_there: bool,
}

impl SqlitePersons {
    pub(crate) fn new(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let find = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'persons')";
        let is_there =
            connection.query_row(find, [], |row| row.get(0)).map_err(|error| told(path, &error))?;
        Ok(Self { connection, path: path.to_owned(), is_there })
    }

    fn ask<T: Default>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        if self.is_there {
            ask(&self.connection).map_err(|error| told(&self.path, &error))
        } else {
            Ok(T::default())
        }
    }
}

impl PersonReader for SqlitePersons {
    fn of_value(&mut self, facet: Facet, value: &Name) -> Result<Option<Person>, StoreError> {
        let look = Look::of(facet, value);
        self.ask(|connection| {
            let find = format!("SELECT number FROM {} WHERE look = ?1", look.table());
            let mut statement = connection.prepare_cached(&find)?;
            let mut rows = statement.query([look.0])?;
            while let Some(row) = rows.next()? {
                let person = of_number(connection, u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default())?;
                if let Some(person) = person.filter(|one| one.facet == facet && one.value == *value) {
                    return Ok(Some(person));
                }
            }
            Ok(None)
        })
    }

    fn of_number(&mut self, number: u64) -> Result<Option<Person>, StoreError> {
        self.ask(|connection| of_number(connection, number))
    }

    fn last(&mut self) -> Result<u64, StoreError> {
        let last: Option<i64> = self.ask(|connection| {
            connection.query_row("SELECT max(number) FROM persons", [], |row| row.get(0))
        })?;
        Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or_default())
    }
}

fn of_number(connection: &Connection, number: u64) -> rusqlite::Result<Option<Person>> {
    let mut statement =
        connection.prepare_cached("SELECT number, facet, salt, value FROM persons WHERE number = ?1")?;
    statement.query_row([stored(number)], person_of).optional().map(Option::flatten)
}

/// A row as a person; `None` where it was erased.
fn person_of(row: &Row<'_>) -> rusqlite::Result<Option<Person>> {
    let (number, facet, salt): (i64, String, [u8; 16]) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let value: Vec<u8> = row.get(3)?;
    let facet = Facet::ALL.into_iter().find(|known| known.as_str() == facet);
    // Zeros are no name.
    let value = String::from_utf8(value).ok().and_then(|value| Name::new(&value).ok());
    let number = u64::try_from(number).unwrap_or_default();
    Ok(facet.zip(value).map(|(facet, value)| Person { number, facet, value, salt }))
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
