//! The program on a PostgreSQL database: it serves, goes on after a restart, and keeps the password to itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cli_support;
#[path = "postgres/mod.rs"]
#[expect(dead_code, reason = "the store's own tests use the rest")]
mod postgres;

use cli_support::{Ended, Running, Suite, ended};
use postgres::shared;

/// A role with a password and a database of its own; answers with its address.
async fn database() -> String {
    let name = shared().database().await;
    let role = format!("owner_of_{name}");
    let make = format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; ALTER DATABASE {name} OWNER TO {role}");
    shared().run("postgres", &make).await;
    shared().url_for(&format!("{role}:hunter2"), &name)
}

/// Serves the database; answers with the program and its address.
async fn serve(suite: &Suite, database: &str) -> (Running, String) {
    let mut command = suite.command(&["serve", "--listen", "127.0.0.1:0", "--require-token"]);
    command.env("QUEEN_DATABASE", database);
    let mut queen = Running::start(command);
    let line = queen.until("listens on ").await;
    let url = line.split_once("listens on ").unwrap().1.to_owned();
    (queen, url)
}

async fn with(suite: &Suite, database: &str, args: &[&str]) -> Ended {
    let mut command = suite.command(args);
    command.env("QUEEN_DATABASE", database);
    let said = ended(command).await;
    assert!(
        !said.stdout.contains("hunter2") && !said.stderr.contains("hunter2"),
        "{said:?}"
    );
    said
}

#[tokio::test]
async fn tokens_and_jobs_are_in_the_database_and_stay_there() {
    let (suite, database) = (Suite::new(), database().await);
    let made = with(&suite, &database, &["token", "add", "--role", "admin", "me"])
        .await
        .expect(0);
    let token = made.stdout.trim().to_owned();
    for round in 0..2 {
        let (queen, url) = serve(&suite, &database).await;
        let ask = async |args: &[&str]| {
            let mut command = suite.command(args);
            command.env("QUEEN_URL", &url).env("QUEEN_TOKEN", &token);
            ended(command).await
        };
        let jobs = ask(&["jobs", "--json"]).await.expect(0).json();
        assert_eq!(jobs["jobs"].as_array().unwrap().len(), round, "{jobs}");
        if round == 0 {
            ask(&["submit", "--project", "a/b", "--repo", "https://example.org/a/b.git"])
                .await
                .expect(0);
        }
        let busy = with(&suite, &database, &["token", "list"]).await.expect(1);
        assert!(
            busy.stderr.contains("ask it, with --queen URL or QUEEN_URL"),
            "{busy:?}"
        );
        queen.signal(libc::SIGTERM);
        let (code, said) = queen.end().await;
        assert_eq!(code, 0, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let data = suite.beside("data");
    assert!(
        !walk(&data).iter().any(|name| name.ends_with("skep.db")),
        "no SQLite beside it"
    );
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            names.extend(walk(&entry.path()));
        }
    }
    names
}

#[tokio::test]
async fn the_password_is_not_in_help_nor_in_errors() {
    let (suite, database) = (Suite::new(), database().await);
    let help = with(&suite, &database, &["serve", "--help"]).await.expect(0);
    assert!(help.stdout.contains("QUEEN_DATABASE"), "{help:?}");
    with(&suite, &database, &["token", "--help"]).await.expect(0);
    let file = suite.beside("queen.toml");
    let settings = format!("[serve]\ndatabase = \"{database}\"\n[token]\ndatabase = \"{database}\"\n");
    std::fs::write(&file, settings).unwrap();
    for command in ["serve", "token"] {
        let args = [command, "--help", "--config", file.to_str().unwrap()];
        let help = ended(suite.command(&args)).await.expect(0);
        assert!(help.stdout.contains("--database"), "{help:?}");
        assert!(!help.stdout.contains("hunter2"), "{help:?}");
    }
    let list = ["token", "list", "--config", file.to_str().unwrap()];
    let none = ended(suite.command(&list)).await.expect(0);
    assert_eq!(none.stdout.trim(), "no tokens", "the file's database is asked");
    let wrong = database.replace("owner_of", "nobody_of");
    let refused = with(&suite, &wrong, &["serve", "--listen", "127.0.0.1:0"])
        .await
        .expect(1);
    assert!(refused.stderr.contains("password authentication failed"), "{refused:?}");
    let mysql = with(&suite, "mysql://ann:hunter2@db/skep", &["serve"]).await.expect(1);
    let words = "--database takes postgres://USER:PASSWORD@HOST:PORT/NAME";
    assert!(
        mysql.stderr.contains(words) && mysql.stderr.contains("mysql"),
        "{mysql:?}"
    );
}
