//! A private PostgreSQL for tests: its own folder, its own port, nothing of the
//! machine's own server touched. `./test` starts one for the whole run and says where
//! in `TRIBUTARY_TEST_POSTGRES`; where it is not said, a test starts one and stops it.
//! Each test has a database of its own. There is no test without a server: where none
//! is installed, the test fails.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the tests of the library and those of the program each use a part"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio_postgres::NoTls;

/// Names the server of the whole run, with the database to connect to first.
const VARIABLE: &str = "TRIBUTARY_TEST_POSTGRES";
/// Where Debian puts the programs of a server, a folder for each version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// The system's user for a server: PostgreSQL refuses to run as root.
const UNPRIVILEGED: &str = "postgres";
/// The database user of the tests, and its password where one is asked for, which is
/// over TCP.
pub const USER: &str = "tributary";
pub const PASSWORD: &str = "hush-hush";
/// How often and after what pause a server that starts is asked whether it is up.
const TRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(50);
/// How many free ports are tried.
const PORTS_TRIED: u32 = 5;
/// Connections of all tests that run at the same time.
const CONNECTIONS: &str = "max_connections=300";

/// A server that ends with this.
pub struct Cluster {
    folder: tempfile::TempDir,
    pub port: u16,
    settings: Vec<String>,
    running: Mutex<Option<Child>>,
}

impl Cluster {
    /// Makes one and starts it. `settings` are the server's, as `name=value`; its log
    /// is `log` in the folder. It does not wait for the disk unless it is told
    /// `fsync=on`: only tests of durability need that.
    pub fn start(settings: &[&str]) -> Cluster {
        let folder = folder();
        let password = folder.path().join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        if is_root() {
            ran(Command::new("chown").arg(UNPRIVILEGED).arg(&password));
        }
        let mut initdb = program("initdb", folder.path());
        initdb.arg("-D").arg(folder.path().join("data"));
        initdb.args(["-U", USER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        initdb.arg("--pwfile").arg(&password);
        ran(initdb.stdout(Stdio::null()));
        Cluster::listening(folder, settings)
    }

    /// A standby that follows this one, and holds all that this one holds now.
    pub fn follow(&self) -> Cluster {
        let folder = folder();
        let mut copy = program("pg_basebackup", folder.path());
        copy.arg("-D").arg(folder.path().join("data"));
        copy.arg("-h").arg(self.folder.path());
        copy.args(["-p", &self.port.to_string(), "-U", USER]);
        // It writes down whom to follow, and waits for no disk.
        copy.args(["-R", "-X", "stream", "--checkpoint=fast", "--no-sync"]);
        ran(&mut copy);
        Cluster::listening(folder, &[])
    }

    /// A standby takes writes from now on.
    pub fn promote(&self) {
        let promoted = run(&self.url("postgres"), "SELECT pg_promote()").unwrap();
        assert_eq!(promoted, ["t"], "{}", self.log());
    }

    /// Starts what is in the folder, on a port of its own.
    fn listening(folder: tempfile::TempDir, settings: &[&str]) -> Cluster {
        let mut made = Cluster {
            folder,
            port: 0,
            settings: settings.iter().map(|it| (*it).to_owned()).collect(),
            running: Mutex::new(None),
        };
        // A port that was free may be somebody else's by the time the server takes it.
        for _ in 0..PORTS_TRIED {
            made.port = free_port();
            match made.try_resume() {
                Ok(()) => return made,
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("no PostgreSQL: {log}"),
            }
        }
        panic!("no port for a PostgreSQL: {}", made.log());
    }

    /// Starts the server again.
    pub fn resume(&self) {
        if let Err(log) = self.try_resume() {
            panic!("no PostgreSQL: {log}");
        }
    }

    /// Starts the server; where it ends at once or does not answer, its log.
    fn try_resume(&self) -> Result<(), String> {
        let mut server = program("postgres", self.folder.path());
        server.arg("-D").arg(self.data());
        server.arg("-p").arg(self.port.to_string());
        server.arg("-k").arg(self.folder.path());
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", CONNECTIONS] {
            server.args(["-c", setting]);
        }
        for setting in &self.settings {
            server.args(["-c", setting]);
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        server.stdout(log.try_clone().unwrap()).stderr(log);
        *lock(&self.running) = Some(server.spawn().unwrap());
        for _ in 0..TRIES {
            let ended = lock(&self.running).as_mut().unwrap().try_wait().unwrap();
            if ended.is_some() {
                return Err(self.log());
            }
            if run(&self.url("postgres"), "SELECT 1").is_ok() {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
        Err(self.log())
    }

    /// Ends the server at once, as a crash does: nothing is written any more, and the
    /// next start recovers.
    pub fn kill(&self) {
        self.end(Signal::QUIT);
    }

    /// Ends the server in order: connections are told.
    pub fn stop(&self) {
        self.end(Signal::INT);
    }

    fn end(&self, signal: Signal) {
        if let Some(mut server) = lock(&self.running).take() {
            kill_process(Pid::from_child(&server), signal).unwrap();
            server.wait().unwrap();
        }
    }

    /// The folder of its settings, certificates and tables.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Puts a file into the folder that the server may read and nobody else.
    pub fn put(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.data().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            ran(Command::new("chown").arg(UNPRIVILEGED).arg(&file));
        }
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A URL by its socket, where nobody asks for a password.
    pub fn url(&self, database: &str) -> String {
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://{USER}@{folder}:{}/{database}", self.port)
    }

    /// A URL by the sockets of several, of which one takes writes.
    pub fn url_of(all: &[&Cluster], database: &str) -> String {
        let folder = |it: &&Cluster| it.folder.path().to_str().unwrap().replace('/', "%2F");
        let hosts: Vec<String> = all
            .iter()
            .map(|it| format!("{}:{}", folder(it), it.port))
            .collect();
        format!("postgres://{USER}@{}/{database}", hosts.join(","))
    }

    /// A URL over TCP, with the password.
    pub fn url_by_tcp(&self, host: &str, database: &str) -> String {
        let port = self.port;
        format!("postgres://{USER}:{PASSWORD}@{host}:{port}/{database}")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A database of its own for one test; it goes when this does.
pub struct Database {
    pub url: String,
    name: String,
    first: String,
    _server: Option<Arc<Cluster>>,
}

impl Database {
    /// On the server of the run, or on one that is started for the tests of this
    /// process.
    #[expect(
        clippy::disallowed_methods,
        reason = "only a test is told by the environment"
    )]
    pub fn new() -> Database {
        if let Ok(url) = std::env::var(VARIABLE) {
            return Database::on(url, None);
        }
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = lock(&SHARED);
        let server = shared
            .upgrade()
            .unwrap_or_else(|| Arc::new(Cluster::start(&[])));
        *shared = Arc::downgrade(&server);
        drop(shared);
        Database::on(server.url("postgres"), Some(server))
    }

    fn on(first: String, server: Option<Arc<Cluster>>) -> Database {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        run(&first, &format!("CREATE DATABASE {name}")).unwrap();
        let (before, _) = first.rsplit_once('/').unwrap();
        Database {
            url: format!("{before}/{name}"),
            name,
            first,
            _server: server,
        }
    }

    /// Runs statements in it.
    pub fn run(&self, sql: &str) {
        run(&self.url, sql).unwrap();
    }

    /// What one statement answers: the first column of each row.
    pub fn ask(&self, sql: &str) -> Vec<String> {
        run(&self.url, sql).unwrap()
    }

    /// A ledger's rows are gone, but for those of the sources and what makes it a
    /// ledger. The tables are named by the server, so that none is forgotten.
    pub fn sweep(&self) {
        let tables = self.tables().into_iter();
        let sweeps: String = tables
            .filter(|table| !["sources", "dictionaries", "meta"].contains(&table.as_str()))
            .map(|table| format!("DELETE FROM {table};"))
            .collect();
        // Without the triggers of foreign keys the order does not matter.
        self.run(&format!(
            "BEGIN; SET LOCAL session_replication_role = replica; {sweeps}
             DELETE FROM meta WHERE name NOT IN ('ledger', 'writer', 'version');
             UPDATE sources SET last_delivery = NULL; COMMIT"
        ));
    }

    /// Everything in it, as text.
    pub fn dump(&self) -> Vec<String> {
        let rows = self.tables().into_iter().flat_map(|table| {
            let rows = self.ask(&format!("SELECT {table}::TEXT FROM {table} ORDER BY 1"));
            rows.into_iter().map(move |row| format!("{table}: {row}"))
        });
        rows.collect()
    }

    fn tables(&self) -> Vec<String> {
        self.ask("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    }

    /// Its name, for statements about it.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The server may have been stopped by the test.
        let _ = run(
            &self.first,
            &format!("DROP DATABASE {} WITH (FORCE)", self.name),
        );
    }
}

/// Runs statements on a thread of their own, so that tests with a runtime can ask too.
pub fn run(url: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let asked = async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let mut found = Vec::new();
        for message in client.simple_query(sql).await? {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                found.push(row.get(0).unwrap_or_default().to_owned());
            }
        }
        Ok(found)
    };
    let runtime = || {
        let mut made = tokio::runtime::Builder::new_current_thread();
        made.enable_all().build().unwrap()
    };
    std::thread::scope(|threads| {
        let thread = threads.spawn(|| runtime().block_on(asked));
        thread.join().unwrap()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder that belongs to the server's user.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new()
        .prefix("tributary-pg-")
        .tempdir()
        .unwrap();
    if is_root() {
        ran(Command::new("chown").arg(UNPRIVILEGED).arg(folder.path()));
    }
    folder
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A program of the newest server that is installed, not as root, and in `folder`.
fn program(name: &str, folder: &Path) -> Command {
    let mut versions: Vec<PathBuf> = std::fs::read_dir(INSTALLED)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    versions.sort();
    let file = versions.pop().unwrap_or_else(|| PathBuf::from(name));
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.arg(format!("--reuid={UNPRIVILEGED}"));
            command.arg(format!("--regid={UNPRIVILEGED}"));
            command.args(["--init-groups", "--"]).arg(file);
            command
        }
        false => Command::new(file),
    };
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn ran(command: &mut Command) {
    let status = command.status();
    assert!(
        status.as_ref().is_ok_and(|status| status.success()),
        "{command:?}: {status:?}; PostgreSQL 14 or newer must be installed"
    );
}
