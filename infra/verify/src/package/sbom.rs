//! Bills of materials in CycloneDX 1.5 (ECMA-424) of exactly the packages that Cargo links into a program.

#![expect(clippy::indexing_slicing, reason = "an index into JSON gives null for a missing member")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, anyhow, bail};
use daypass_tools::{cargo, command_line, workspace_root};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::hexadecimal;
use crate::elf::Processor;

/// Name and version of a package, as `cargo tree` prints them.
type Package = (String, String);

/// Dependencies of each package.
type Edges = BTreeMap<Package, BTreeSet<Package>>;

/// The packages of all programs, with their dependencies.
pub(super) struct Bills {
    /// Dependencies by program, because each has features of its own.
    programs: Vec<(Vec<Package>, Edges)>,
    /// What the manifest and `Cargo.lock` say about each package.
    known: BTreeMap<Package, Known>,
}

/// Facts about a package.
#[derive(Default)]
struct Known {
    license: Option<String>,
    repository: Option<String>,
    /// SHA-256 of its archive; `None` for a member of the workspace.
    checksum: Option<String>,
}

impl Bills {
    /// Reads the dependencies of these packages, each of which is built alone.
    ///
    /// # Errors
    /// Cargo fails, or `Cargo.lock` is out of date.
    pub(super) fn read(packages: &[&str], processor: Processor) -> Result<Self> {
        let metadata: Value =
            serde_json::from_str(&output(&["metadata", "--format-version", "1", "--locked"])?)?;
        let mut known = BTreeMap::new();
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let text = |name: &str| package[name].as_str().map(str::to_owned);
            let (Some(name), Some(version)) = (text("name"), text("version")) else { continue };
            // The old form of `OR`.
            let license = text("license").map(|license| license.replace('/', " OR "));
            known.insert((name, version), Known { license, repository: text("repository"), checksum: None });
        }
        let lock = fs::read_to_string(workspace_root().join("Cargo.lock"))?;
        for (package, checksum) in checksums(&lock) {
            known.entry(package).or_default().checksum = Some(checksum);
        }
        let programs = packages.iter().map(|package| {
            let mut arguments =
                vec!["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth"];
            arguments.extend(["--format", " {p}", "--target", processor.target(), "--package", package]);
            tree(&output(&arguments)?)
        });
        Ok(Self { programs: programs.collect::<Result<_>>()?, known })
    }

    /// The bill of a program. `content` is the file of the release, whose checksum the bill names.
    ///
    /// # Errors
    /// The package was not read.
    pub(super) fn of(
        &self,
        package: &str,
        name: &str,
        processor: Processor,
        content: &[u8],
    ) -> Result<String> {
        let mut roots =
            self.programs.iter().flat_map(|(roots, edges)| roots.iter().map(move |root| (root, edges)));
        let (root, edges) =
            roots.find(|(root, _)| root.0 == package).with_context(|| format!("{package} is not built"))?;
        let linked = reachable(root, edges);
        let components: Vec<Value> =
            linked.iter().filter(|package| *package != root).map(|package| self.component(package)).collect();
        let dependencies: Vec<Value> = linked
            .iter()
            .map(|package| {
                let on: Vec<String> = edges.get(package).into_iter().flatten().map(reference).collect();
                json!({ "ref": reference(package), "dependsOn": on })
            })
            .collect();
        let program = json!({
            "type": "application",
            "bom-ref": reference(root),
            "name": format!("{name}-{processor}"),
            "version": root.1,
            "hashes": [{ "alg": "SHA-256", "content": hexadecimal(&Sha256::digest(content)) }],
        });
        // Without serial number and time, which would differ in every run.
        let bill = json!({
            "bomFormat": "CycloneDX",
            "specVersion": "1.5",
            "version": 1,
            "metadata": { "component": program },
            "components": components,
            "dependencies": dependencies,
        });
        Ok(format!("{bill:#}\n"))
    }

    fn component(&self, package: &Package) -> Value {
        let mut component = json!({
            "type": "library",
            "bom-ref": reference(package),
            "name": package.0,
            "version": package.1,
        });
        let Some(known) = self.known.get(package) else { return component };
        if let Some(license) = &known.license {
            component["licenses"] = json!([{ "expression": license }]);
        }
        if let Some(checksum) = &known.checksum {
            component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
            component["purl"] = json!(format!("pkg:cargo/{}@{}", package.0, package.1));
        }
        if let Some(repository) = &known.repository {
            component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
        }
        component
    }
}

fn reference((name, version): &Package) -> String {
    format!("{name}@{version}")
}

fn output(arguments: &[&str]) -> Result<String> {
    let mut command = cargo();
    command.args(arguments);
    let output = command.output().with_context(|| format!("could not start `{}`", command_line(&command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", command_line(&command), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Roots and edges in the output of `cargo tree --prefix depth --format ' {p}'`. Cargo prints the dependencies of a
/// package once.
fn tree(text: &str) -> Result<(Vec<Package>, Edges)> {
    let (mut roots, mut edges, mut path) = (Vec::new(), Edges::new(), Vec::<Package>::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or_else(|| anyhow!("`cargo tree` prints `{line}`"));
        let depth: usize = word()?.parse()?;
        let package = (word()?.to_owned(), word()?.trim_start_matches('v').to_owned());
        path.truncate(depth);
        match path.last() {
            None => roots.push(package.clone()),
            Some(parent) => drop(edges.entry(parent.clone()).or_default().insert(package.clone())),
        }
        path.push(package);
    }
    Ok((roots, edges))
}

fn reachable(root: &Package, edges: &Edges) -> BTreeSet<Package> {
    let (mut found, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(package) = open.pop() {
        if found.insert(package.clone()) {
            open.extend(edges.get(package).into_iter().flatten());
        }
    }
    found
}

/// Checksums in `Cargo.lock`.
fn checksums(lock: &str) -> impl Iterator<Item = (Package, String)> {
    lock.split("[[package]]").filter_map(|entry| {
        let field = |name: &str| {
            let line = entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
            line.strip_suffix('"').map(str::to_owned)
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bill(package: &str, name: &str) -> Value {
        let bills = Bills::read(&[package], Processor::Arm).unwrap();
        serde_json::from_str(&bills.of(package, name, Processor::Arm, b"content").unwrap()).unwrap()
    }

    fn names(bill: &Value) -> Vec<&str> {
        bill["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
    }

    /// invariant: A bill of materials names the packages that Cargo links for the program's processor, and no others.
    #[test]
    fn a_bill_names_what_is_linked() {
        let authorizer = bill("daypass-authorizer-function", "authorizer");
        let linked = names(&authorizer);
        for package in ["daypass-authorizer", "aws-lc-sys", "rustls", "tokio"] {
            assert!(linked.contains(&package), "{package}");
        }
        // A macro, a dependency of tests, one of another platform, one of another function.
        for package in
            ["serde_derive", "proptest", "windows-sys", "aws-sdk-dynamodb", "daypass-authorizer-function"]
        {
            assert!(!linked.contains(&package), "{package}");
        }
        assert!(names(&bill("daypass-login", "login")).contains(&"aws-sdk-dynamodb"));
    }

    #[test]
    fn a_component_has_the_facts_of_its_package() {
        let bill = bill("daypass-authorizer-function", "authorizer");
        let components = bill["components"].as_array().unwrap();
        for component in components {
            let own = component["name"].as_str().unwrap().starts_with("daypass-");
            assert_eq!(component.get("purl").is_some(), !own, "{component}");
            assert_eq!(component.get("hashes").is_some(), !own, "{component}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
        let references: BTreeSet<&str> =
            bill["dependencies"].as_array().unwrap().iter().map(|one| one["ref"].as_str().unwrap()).collect();
        assert_eq!(references.len(), components.len() + 1, "every component has its dependencies");
        assert_eq!(
            bill["metadata"]["component"]["hashes"][0]["content"],
            "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
        );
    }

    #[test]
    fn repeated_packages_keep_the_dependencies_of_the_first_time() {
        let text = "0 a v1.0.0 (/a)\n1 b v2.0.0\n2 c v3.0.0\n1 d v4.0.0\n2 b v2.0.0 (*)\n\n0 e v1.0.0\n1 b v2.0.0 (*)\n";
        let (roots, edges) = tree(text).unwrap();
        let package = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(roots, [package("a", "1.0.0"), package("e", "1.0.0")]);
        let of_e = reachable(&roots[1], &edges);
        assert_eq!(of_e, [package("b", "2.0.0"), package("c", "3.0.0"), package("e", "1.0.0")].into());
    }
}
