//! The real binary in a folder of its own, beside a sandbox in this process; its
//! ledger is where this run has them, as that of `bench.rs`.
//!
//! Commands run with a clean environment; `serve` listens on free ports of its
//! own choice and tells them in its log, which is kept in the folder.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tributary::sandbox::{KeyPair, NewCustomer, Sandbox, Settings};
use tributary::time::Clock;

use crate::bench;
use crate::cluster::Database;
use crate::world::{LINKER, OPERATOR, SECRET, VIEWER, now_s, signature};

pub const PUBLIC_KEY: &str = "pk_live_of_the_folder";
pub const SECRET_KEY: &str = "sk_live_of_the_folder_0123456789";

/// The ledger's file, as the configuration in its folder names it.
pub const FILE: &str = "sqlite:ledger.db";

/// How long a command or a change may take, in steps of 20 ms: a minute.
const WAIT_STEPS: u32 = 3_000;
const STEP: Duration = Duration::from_millis(20);

/// A folder with a configuration, and the sandbox that it names.
pub struct Folder {
    pub sandbox: Sandbox,
    pub dir: TempDir,
    pub env: Vec<(String, String)>,
    /// Where the ledger is, if it is no file.
    _database: Option<Database>,
    runs: Cell<u32>,
    stop: CancellationToken,
}

/// A command that ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A `serve` that listens; it is killed when dropped.
pub struct Running {
    pub child: Child,
    pub log: PathBuf,
    pub public: String,
    pub admin: String,
}

impl Folder {
    /// `more` goes into the destination's section.
    pub async fn with(more: &str) -> Folder {
        Folder::in_place(bench::database(), more).await
    }

    /// On a file, whichever store this run is on: for what SQLite alone can be told.
    pub async fn on_file() -> Folder {
        Folder::on_file_with("").await
    }

    pub async fn on_file_with(more: &str) -> Folder {
        Folder::in_place(None, more).await
    }

    async fn in_place(database: Option<Database>, more: &str) -> Folder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let sandbox = Sandbox::new(Settings::new(Arc::new(|| Clock::Machine.now().ms())));
        sandbox.adjust(|settings| {
            settings.keys = vec![KeyPair {
                public: PUBLIC_KEY.to_owned(),
                secret: SECRET_KEY.to_owned(),
            }];
        });
        sandbox.add_partner("northwind");
        for key in ["acme", "globex"] {
            sandbox.add_customer(NewCustomer::of(key, "northwind"));
        }
        let stop = CancellationToken::new();
        tokio::spawn(tributary::sandbox::serve(
            listener,
            sandbox.clone(),
            stop.clone().cancelled_owned(),
        ));
        let env = [
            ("OPS", OPERATOR),
            ("VIEW", VIEWER),
            ("LINKS", LINKER),
            ("PK", PUBLIC_KEY),
            ("SK", SECRET_KEY),
        ];
        let ledger = database.as_ref().map_or(FILE, |it| it.url.as_str());
        let text = text(ledger, &format!("http://{at}"), more);
        let folder = Folder {
            sandbox,
            dir: tempfile::tempdir().unwrap(),
            env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec(),
            _database: database,
            runs: Cell::new(0),
            stop,
        };
        folder.write("hook", SECRET);
        folder.write("tributary.toml", &text);
        folder
    }

    pub async fn new() -> Folder {
        Folder::with("").await
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn config(&self) -> String {
        std::fs::read_to_string(self.path("tributary.toml")).unwrap()
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    fn start(&self, args: &[&str], out: &Path, err: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(File::create(out).unwrap())
            .stderr(File::create(err).unwrap())
            .spawn()
            .unwrap()
    }

    fn outputs(&self) -> (PathBuf, PathBuf) {
        let run = self.runs.get() + 1;
        self.runs.set(run);
        (
            self.path(&format!("{run}.out")),
            self.path(&format!("{run}.err")),
        )
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        let (out, err) = self.outputs();
        let mut child = self.start(args, &out, &err);
        let status = wait(&mut child);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let ran = Ran {
            code: status.code().unwrap_or(-1),
            out: read(&out),
            err: read(&err),
        };
        assert!(!ran.err.contains("panicked"), "{args:?}: {ran:?}");
        ran
    }

    /// Runs a command that must end with `code`.
    pub fn expect(&self, code: i32, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        ran
    }

    /// Runs a command with `--json` that must succeed; reads what it printed.
    pub fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = ["--json"].iter().chain(args).copied().collect();
        let ran = self.expect(0, &args);
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Starts `serve` and waits until it listens.
    pub async fn serve(&self) -> Running {
        let (out, log) = self.outputs();
        let mut child = self.start(&["serve"], &out, &log);
        for _ in 0..WAIT_STEPS {
            let text = std::fs::read_to_string(&log).unwrap();
            let told = text.lines().find_map(|line| {
                let line: Value = serde_json::from_str(line).ok()?;
                (line["message"] == "listening").then_some(line)
            });
            if let Some(line) = told {
                let url = |key: &str| format!("http://{}", line[key].as_str().unwrap());
                return Running {
                    child,
                    log,
                    public: url("public"),
                    admin: url("admin"),
                };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("serve ended with {status}: {text}");
            }
            tokio::time::sleep(STEP).await;
        }
        panic!("serve does not listen");
    }

    /// A payment as `payments` prints it.
    pub fn payment(&self, id: &str) -> Value {
        self.json(&["explain", "stripe", id])
    }

    /// Waits until a payment is in a state.
    pub async fn wait_for(&self, id: &str, state: &str) -> Value {
        for _ in 0..WAIT_STEPS / 10 {
            let payment = self.payment(id);
            if payment["state"] == state {
                return payment;
            }
            tokio::time::sleep(STEP * 5).await;
        }
        panic!(
            "{id} is not {state}: {}",
            self.run(&["explain", "stripe", id]).out
        );
    }

    /// Everything that any command of this folder wrote.
    pub fn everything_written(&self) -> String {
        let mut all = String::new();
        for run in 1..=self.runs.get() {
            for end in ["out", "err"] {
                all += &std::fs::read_to_string(self.path(&format!("{run}.{end}"))).unwrap();
            }
        }
        all
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Running {
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends it as a supervisor does; answers how it ended.
    pub fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        wait(&mut self.child)
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Posts an event with a fresh signature; `None` where no answer came.
    pub async fn deliver(
        &self,
        client: &reqwest::Client,
        secret: &str,
        event: &Value,
    ) -> Option<(u16, Value)> {
        post(client, &self.public, secret, event).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Posts an event with a fresh signature; `None` where no answer came.
pub async fn post(
    client: &reqwest::Client,
    public: &str,
    secret: &str,
    event: &Value,
) -> Option<(u16, Value)> {
    let body = event.to_string();
    let sent = client
        .post(format!("{public}/webhooks/stripe"))
        .header("Stripe-Signature", signature(secret, &body, now_s()))
        .body(body);
    let answer = sent.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.unwrap_or(Value::Null)))
}

fn wait(child: &mut Child) -> ExitStatus {
    for _ in 0..WAIT_STEPS {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(STEP);
    }
    let _ = child.kill();
    panic!("the command does not end");
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}

fn text(ledger: &str, base_url: &str, more: &str) -> String {
    // What a test counts or breaks is then what it sends.
    let quiet = match more.contains("mirror_every_minutes") {
        true => "",
        false => "mirror_every_minutes = 0",
    };
    format!(
        r#"[ledger]
url = "{ledger}"

[http]
public = "127.0.0.1:0"
admin = "127.0.0.1:0"

[[http.tokens]]
name = "ops"
role = "operator"
token = {{ env = "OPS" }}

[[http.tokens]]
name = "view"
role = "viewer"
token = {{ env = "VIEW" }}

[[http.tokens]]
name = "links"
role = "linker"
token = {{ env = "LINKS" }}

[destinations.ps]
base_url = "{base_url}"
public_key = {{ env = "PK" }}
secret_key = {{ env = "SK" }}
requests_per_second = 1000
burst = 100
max_in_flight = 8
timeout_seconds = 1
confirm_after_seconds = 1
{quiet}
{more}

[sources.stripe]
provider = "stripe"
destination = "ps"
secrets = [{{ file = "hook" }}]
forward_from = "2025-01-01"
"#
    )
}
