//! The programs for verifiers in other languages, as `docs/security/revocation.md` shows them.

use crate::suites::revocation::stage::Stage;
use daypass_tools::workspace_root;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// The feed answers from memory for half a second.
const CACHED: Duration = Duration::from_millis(600);

/// Polls the feed, and prints for each session whether it has ended. Repeats this for each line of its input.
const NODE: &str = r"
import { createInterface } from 'node:readline';
const [url, issuer, ...sids] = process.argv.slice(2);
const feed = new RevocationFeed(url, issuer);
const tell = async () => {
  await feed.poll();
  console.log(sids.map((sid) => feed.hasEnded(sid)).join(' '));
};
await tell();
for await (const _ of createInterface(process.stdin)) await tell();
";
const PYTHON: &str = r"
import sys
url, issuer, *sids = sys.argv[1:]
feed = RevocationFeed(url, issuer)
def tell():
    feed.poll()
    print(*('true' if feed.has_ended(sid) else 'false' for sid in sids), flush=True)
tell()
for _ in sys.stdin:
    tell()
";

/// The only code block in this language in the document.
fn shown(language: &str) -> String {
    let text = std::fs::read_to_string(workspace_root().join("docs/security/revocation.md")).unwrap();
    let start = format!("```{language}\n");
    let mut blocks = text.split(&start).skip(1);
    let block =
        blocks.next().expect("the document has such a block").split("\n```").next().unwrap().to_owned();
    assert!(blocks.next().is_none(), "one block of {language}");
    block
}

pub(crate) async fn check(stage: &Stage) {
    let folder = tempfile::tempdir().unwrap();
    for (language, file, command, driver) in
        [("js", "feed.mjs", "node", NODE), ("python", "feed.py", "python3", PYTHON)]
    {
        let file = folder.path().join(file);
        std::fs::write(&file, format!("{}\n{driver}", shown(language))).unwrap();
        let [first, second, third] = [(); 3].map(|()| format!("{language}-{}", stage.nonce()));
        let (first, second, third) =
            (stage.login(&first).await, stage.login(&second).await, stage.login(&third).await);
        stage.revoke(&first, false).await;
        tokio::time::sleep(CACHED).await;
        let feed = format!("{}/revocations", stage.url());
        let mut program = Command::new(command)
            .arg(&file)
            .args([&feed, stage.url(), &first.id, &second.id, &third.id])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let mut says = BufReader::new(program.stdout.take().unwrap()).lines();
        let mut ask = program.stdin.take().unwrap();
        assert_eq!(says.next_line().await.unwrap().unwrap(), "true false false", "{command}");
        stage.revoke(&second, false).await;
        tokio::time::sleep(CACHED).await;
        ask.write_all(b"again\n").await.unwrap();
        assert_eq!(says.next_line().await.unwrap().unwrap(), "true true false", "{command}");
        drop(ask);
        assert!(program.wait().await.unwrap().success(), "{command}");
        println!("  the program of the document for {command} follows the feed");
    }
}
