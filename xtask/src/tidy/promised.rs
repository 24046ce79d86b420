//! The table of failures in docs/ledger.md: every test that it names has to be there.
//!
//! Whether the test shows what the table says, people have to read.

use std::collections::BTreeSet;

/// What the table promises and the sources do not have; a table without a line is a finding as well.
pub fn findings(document: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let rows = document.lines().skip_while(|line| !line.starts_with("| what fails")).skip(2);
    let rows: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    if rows.is_empty() {
        return vec!["docs/ledger.md: the table of what fails has no line".to_owned()];
    }
    let mut found = Vec::new();
    for row in rows {
        let named: Vec<&str> =
            row.rsplit('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            found.push(format!("docs/ledger.md: no test is named in `{row}`"));
        }
        let missing = named.into_iter().filter(|name| !functions.contains(*name));
        found.extend(missing.map(|name| format!("docs/ledger.md: there is no test `{name}`")));
    }
    found
}

/// The names of the functions that a file defines.
pub fn functions(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let (_, rest) = line.split_once("fn ")?;
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        (!name.is_empty()).then_some(name)
    };
    text.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_named_has_to_be_there() {
        let functions = functions("#[test]\nfn is_there() {\n    async fn inside() {}").into_iter().collect();
        let table = |cell: &str| format!("# x\n| what fails | a | b |\n|---|---|---|\n| x | y | {cell} |\n");
        assert_eq!(findings(&table("`is_there`, `inside`"), &functions), Vec::<String>::new());
        assert_eq!(findings(&table("`is_not`"), &functions), ["docs/ledger.md: there is no test `is_not`"]);
        assert_eq!(findings(&table(""), &functions).len(), 1);
        assert_eq!(findings("", &functions).len(), 1);
    }
}
