//! A PostgreSQL server for tests: made in a temporary folder, reached by a socket there, gone with the test process.
//!
//! A keeper (`keeper.sh`) owns the server. It does what it is told over a pipe and ends the server when the pipe closes,
//! which it does however the test process ends. The server runs as somebody else where the tests run as root, because
//! PostgreSQL refuses root. Other tests take this file in by `#[path]`.

use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    str::FromStr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// A server. `skep` is its superuser and needs no password; everybody else does.
pub struct Server {
    folder: PathBuf,
    keeper: Mutex<Keeper>,
    databases: AtomicU32,
}

struct Keeper {
    child: Child,
    /// Closing it ends the server.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The server of this test process.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

impl Server {
    /// Starts a server of its own.
    pub fn start() -> Self {
        let programs = programs().expect(
            "these tests need PostgreSQL's initdb and pg_ctl: install them (Debian: apt-get install postgresql; scripts/setup does)",
        );
        // A socket's path has room for about a hundred characters.
        let mut base = std::env::temp_dir();
        if base.as_os_str().len() > 60 {
            base = PathBuf::from("/tmp");
        }
        let made = tempfile::Builder::new().prefix("skep-pg-").tempdir_in(base).unwrap();
        let folder = made.keep();
        let mut keeper = Command::new("sh");
        keeper
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres/keeper.sh"))
            .arg(programs)
            .arg(&folder)
            .current_dir(&folder)
            .env_remove("PGPORT")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C in a terminal is for the tests; the keeper ends when they have ended.
            .process_group(0);
        if rustix::process::geteuid().is_root() {
            let (user, group) = somebody();
            chown(&folder, Some(user), Some(group)).unwrap();
            keeper.uid(user).gid(group);
        }
        let mut child = keeper.spawn().unwrap();
        let server = Self {
            keeper: Mutex::new(Keeper {
                orders: child.stdin.take(),
                answers: BufReader::new(child.stdout.take().unwrap()),
                child,
            }),
            folder,
            databases: AtomicU32::new(0),
        };
        server.order("start");
        server
    }

    /// Ends the server at once, as a crash would.
    pub fn stop(&self) {
        self.order("stop");
    }

    /// Starts it again.
    pub fn start_again(&self) {
        self.order("start");
    }

    fn order(&self, order: &str) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(keeper.orders.as_mut().unwrap(), "{order}").unwrap();
        let mut answer = String::new();
        keeper.answers.read_line(&mut answer).unwrap();
        drop(keeper);
        let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        assert_eq!(answer, "done\n", "PostgreSQL: {order}\n{}", log());
    }

    /// The address of a database for the superuser.
    pub fn url(&self, database: &str) -> String {
        self.url_for("skep", database)
    }

    /// The address of a database for `user`, which may have a password behind a colon.
    pub fn url_for(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@localhost/{database}?host={}", self.folder.display())
    }

    /// Where the socket is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes an empty database and answers with its name.
    pub async fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"))
            .await;
        name
    }

    /// Runs statements as the superuser.
    pub async fn run(&self, database: &str, statements: &str) {
        let mut sql = self.connect(database).await;
        sql.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements)))
            .await
            .unwrap();
        sql.close().await.unwrap();
    }

    /// A connection of the superuser.
    pub async fn connect(&self, database: &str) -> sqlx::PgConnection {
        let options = PgConnectOptions::from_str(&self.url(database)).unwrap();
        options.connect().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(keeper.orders.take());
        let _ = keeper.child.wait();
    }
}

/// The folder of PostgreSQL's programs: the one in PATH, else the newest of Debian's.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path =
        std::env::split_paths(&path).find(|folder| folder.join("pg_ctl").exists() && folder.join("initdb").exists());
    in_path.or_else(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
        let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions.map(|entry| entry.path()).max_by_key(version)?;
        Some(newest.join("bin"))
    })
}

/// Whom the server runs as instead of root.
fn somebody() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut words = line.split(':').skip(2);
        Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("a user who is not root")
}
