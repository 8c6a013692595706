//! Costs and limits of Daypass: the arithmetic behind `docs/operations/cost.md`, and its simulations.
//!
//! Nothing here is measured on AWS. [`cost`] multiplies list prices with counts that tests verify. The simulations
//! apply the documented limits of DynamoDB and Lambda with a fixed seed. They use whole numbers and no function of the
//! C library, so every run prints the same on every machine.

#![expect(missing_docs, reason = "the names of the table rows and bill lines say what they hold")]

pub mod concurrency;
pub mod cost;
pub mod endings;
pub mod guessing;
pub mod partitions;
pub mod regions;
pub mod seeded;
mod table;

/// Tables of the document by name, in order.
#[must_use]
pub fn tables() -> Vec<(&'static str, String)> {
    vec![
        ("prices", cost::prices()),
        ("per-million", cost::per_million()),
        ("monthly", cost::monthly()),
        ("cognito", cost::cognito()),
        ("partitions", partitions::table()),
        ("guessing", guessing::table()),
        ("concurrency", concurrency::table()),
        ("endings", endings::table()),
        ("regions", regions::table()),
    ]
}

/// Replaces each table of the document, between `<!-- scale: NAME -->` and `<!-- end -->`.
///
/// # Errors
/// A table has no place in the document.
pub fn written(document: &str) -> Result<String, String> {
    let mut document = document.to_owned();
    for (name, table) in tables() {
        let begin = format!("<!-- scale: {name} -->\n");
        let start = document.find(&begin).map(|at| at + begin.len());
        let place = start.and_then(|start| {
            let rest = document.get(start..)?;
            Some(start..start + rest.find("<!-- end -->")?)
        });
        let place = place.ok_or_else(|| format!("the document has no place for the table `{name}`"))?;
        document.replace_range(place, &table);
    }
    Ok(document)
}
