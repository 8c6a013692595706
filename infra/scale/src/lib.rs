//! What Daypass costs and how far it goes: the arithmetic behind `docs/operations/cost.md`, and the simulations that it quotes.
//!
//! Nothing here is measured on AWS. [`cost`] multiplies list prices with counts that the tests hold on the wire. The simulations
//! play the documented limits of DynamoDB and Lambda with a fixed seed, so that each run prints the same, on each machine:
//! whole numbers alone, and no function of the C library.

pub mod concurrency;
pub mod cost;
pub mod endings;
pub mod guessing;
pub mod partitions;
pub mod regions;
pub mod seeded;
mod table;

/// The tables of the document by their names, in its order.
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

/// The document with each of its tables as it is printed now: what stands between `<!-- scale: NAME -->` and `<!-- end -->`.
///
/// # Errors
/// The name of a table that the document has no place for.
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
