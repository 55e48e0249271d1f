//! The page in a real browser: Debian's Chromium, headless, led by its driver.
//!
//! Here is the browser itself and what every test of it asks at the end: no
//! message on the console, no request to another host, nothing left running. What
//! people do is in `flows` and `plain`, how it looks in `look`. Who is let in and
//! what forms do without a browser is for `page`.

mod driver;
mod flows;
mod look;
mod plain;

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::*;
use driver::{Driver, Element};

/// How often something is looked for that a page has yet to show.
const LOOKS: u32 = 600;
/// How long between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What Chromium is told: to leave no trace, to ask nobody but this machine, and to
/// draw everywhere alike. What it would ask by itself is no request of the page.
const ARGUMENTS: [&str; 10] = [
    "--headless",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    // Nothing outside has a name, whatever a page asks for.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// Addresses inside the browser, of which a page of ours can open none: its policy
/// forbids it, and the console would tell.
const INSIDE: [&str; 4] = ["about:", "chrome:", "chrome-untrusted:", "data:"];

/// A browser in front of a world.
pub struct Browser {
    driver: Option<Driver>,
    chromedriver: Child,
    /// What it says, kept open so that it can go on saying it.
    _said: BufReader<ChildStdout>,
    /// Profile, settings and downloads, gone with it.
    dir: TempDir,
    /// The page's address without an end.
    home: String,
    /// What the console said and was expected to.
    expected: Vec<String>,
}

/// What a browser met that no page may cause.
#[derive(Debug, Default)]
struct Met {
    console: Vec<String>,
    strangers: Vec<String>,
    requests: usize,
}

fn started(dir: &TempDir) -> (Child, BufReader<ChildStdout>, u16) {
    let mut chromedriver = Command::new("chromedriver")
        .arg("--port=0")
        // What Chromium keeps beside its profile goes with it.
        .env("HOME", dir.path())
        .env("XDG_CONFIG_HOME", dir.path().join("config"))
        .env("XDG_CACHE_HOME", dir.path().join("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("no chromedriver here: install chromium and chromium-driver, as ./test does");
    let mut said = BufReader::new(chromedriver.stdout.take().unwrap());
    let port = said
        .by_ref()
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let (_, rest) = line.split_once("successfully on port ")?;
            rest.trim_end_matches('.').parse().ok()
        });
    let port = port.expect("chromedriver did not start");
    (chromedriver, said, port)
}

/// What chromedriver is to begin.
fn wanted(dir: &TempDir) -> Value {
    let mut arguments = ARGUMENTS.map(str::to_owned).to_vec();
    let profile = dir.path().join("profile");
    arguments.push(format!("--user-data-dir={}", profile.display()));
    if rustix::process::geteuid().is_root() {
        arguments.push("--no-sandbox".to_owned());
    }
    let kept = json!({"download.default_directory": dir.path().join("downloads")});
    json!({
        "goog:chromeOptions": {"args": arguments, "prefs": kept},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    })
}

impl Browser {
    /// A browser that nobody has signed in with.
    pub async fn before(world: &World) -> Browser {
        let dir = tempfile::tempdir().unwrap();
        let (chromedriver, said, port) = started(&dir);
        let mut browser = Browser {
            driver: None,
            chromedriver,
            _said: said,
            home: world.admin(""),
            expected: Vec::new(),
            dir,
        };
        let begun = Driver::begin(&world.client, port, wanted(&browser.dir)).await;
        browser.driver = Some(begun.unwrap());
        browser.size(1440, 900).await;
        browser
    }

    /// A browser whose visitor has signed in by the form.
    pub async fn signed_in(world: &World, token: &str) -> Browser {
        let browser = Browser::before(world).await;
        browser.open("/sign-in").await;
        browser.sign_in(token).await;
        browser
    }

    pub async fn sign_in(&self, token: &str) {
        self.write("Token", token).await;
        self.press("Sign in").await;
        self.sees("Sign out").await;
    }

    pub fn driver(&self) -> &Driver {
        self.driver.as_ref().unwrap()
    }

    pub async fn tells(&self, method: &str, what: Value) -> Value {
        self.driver().tell(method, what).await
    }

    pub async fn size(&self, width: u32, height: u32) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.tells("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// From the next page on, no script of a page runs.
    pub async fn without_script(&self) {
        let off = json!({"value": true});
        self.tells("Emulation.setScriptExecutionDisabled", off)
            .await;
    }

    pub async fn open(&self, path: &str) {
        let address = format!("{}{path}", self.home);
        self.driver().go(&address).await;
    }

    /// Where it is, without the host.
    pub async fn place(&self) -> String {
        let address = self.driver().address().await;
        let (_, place) = address.split_once(&self.home).unwrap_or_default();
        place.to_owned()
    }

    /// The first of these that is there and shown, looked for again where a page
    /// has yet to come.
    pub async fn find(&self, xpath: &str) -> Element {
        for _ in 0..LOOKS {
            for element in self.driver().all(xpath).await.unwrap_or_default() {
                if element.is_shown().await {
                    return element;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!(
            "no {xpath} on {}:\n{}",
            self.place().await,
            self.text().await
        );
    }

    /// Whether there is such a thing on the page as it is now.
    pub async fn has(&self, xpath: &str) -> bool {
        !self.driver().all(xpath).await.unwrap().is_empty()
    }

    /// What a person reads; nothing while a page is on its way.
    pub async fn text(&self) -> String {
        let body = self.driver().all("//body").await.unwrap_or_default();
        match body.first() {
            Some(body) => body.text().await,
            None => String::new(),
        }
    }

    /// Waits until a person reads this.
    pub async fn sees(&self, part: &str) -> String {
        for _ in 0..LOOKS {
            let text = self.text().await;
            if text.contains(part) {
                return text;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!(
            "no \"{part}\" on {}:\n{}",
            self.place().await,
            self.text().await
        );
    }

    /// Waits until nobody reads this any more on a page that is there.
    pub async fn sees_no(&self, part: &str) {
        for _ in 0..LOOKS {
            let text = self.text().await;
            if !text.is_empty() && !text.contains(part) {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("still \"{part}\" on {}", self.place().await);
    }

    /// Waits until the page that is there has stood for so long by its own clock,
    /// which begins again with every page.
    pub async fn stands_for(&self, ms: u32) {
        let stood = format!("return performance.now() > {ms}");
        for _ in 0..LOOKS {
            if self.asks(&stood).await == true {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("{} does not stand still", self.place().await);
    }

    /// Presses a button or follows a link, by what stands on it.
    pub async fn press(&self, name: &str) {
        let xpath =
            format!("//*[self::button or self::a or self::summary][normalize-space()='{name}']");
        self.find(&xpath).await.click().await;
    }

    /// The field of a label.
    pub async fn field(&self, label: &str) -> Element {
        let labelled = format!(
            "//label[contains(normalize-space(), '{label}')]//*[self::input or self::select]"
        );
        let named = format!("//input[@aria-label='{label}']");
        self.find(&format!("{labelled} | {named}")).await
    }

    pub async fn write(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await;
        field.write(text).await;
    }

    /// Chooses one of a list as people do who do not point: by typing it.
    pub async fn choose(&self, label: &str, option: &str) {
        self.field(label).await.write(option).await;
    }

    /// Chooses a file from the visitor's own disk.
    pub async fn chooses_file(&self, path: &str) {
        let field = self.field("A CSV file").await;
        field.write(path).await;
    }

    /// Runs a question of a test in the page and answers what it found.
    pub async fn asks(&self, script: &str) -> Value {
        self.driver().run(script).await
    }

    /// What was downloaded under a name, once it is whole.
    pub async fn downloaded(&self, end: &str) -> String {
        let folder = self.dir.path().join("downloads");
        for _ in 0..LOOKS {
            let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let mut names = files.map(|file| file.path());
            if let Some(path) = names.find(|path| path.display().to_string().ends_with(end)) {
                return std::fs::read_to_string(path).unwrap();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        panic!("no file {end} came");
    }

    /// A file on the visitor's own disk.
    pub fn keeps(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// One message on the console that has this in it is what should be there.
    pub fn expects(&mut self, part: &str) {
        self.expected.push(part.to_owned());
    }

    async fn met(&self) -> Met {
        let mut met = Met::default();
        for (level, message) in self.driver().log("browser").await {
            if level == "SEVERE" || level == "WARNING" {
                met.console.push(message);
            }
        }
        for (_, message) in self.driver().log("performance").await {
            let line: Value = serde_json::from_str(&message).unwrap();
            let event = &line["message"];
            let sent = ["Network.requestWillBeSent", "Network.webSocketCreated"];
            if !sent.contains(&event["method"].as_str().unwrap_or_default()) {
                continue;
            }
            let params = &event["params"];
            let url = params["request"]["url"].as_str().or(params["url"].as_str());
            let url = url.unwrap_or_default();
            met.requests += 1;
            // What a browser shows before anything was opened has no host.
            let hostless = INSIDE.iter().any(|scheme| url.starts_with(scheme));
            if !hostless && !url.starts_with(&format!("{}/", self.home)) {
                met.strangers.push(url.to_owned());
            }
        }
        met
    }

    /// Ends it, and asserts what must hold of everything that was looked at.
    pub async fn close(mut self) {
        let mut met = self.met().await;
        for part in std::mem::take(&mut self.expected) {
            let at = met.console.iter().position(|line| line.contains(&part));
            let at = at.unwrap_or_else(|| panic!("the console never said {part}"));
            met.console.remove(at);
        }
        assert_eq!(met.console, Vec::<String>::new(), "the console said");
        assert_eq!(
            met.strangers,
            Vec::<String>::new(),
            "other hosts were asked"
        );
        assert!(
            met.requests > 0,
            "no request was seen, so nothing is proven"
        );
        self.driver.take().unwrap().end().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that failed: nothing is asked any more, both are ended.
        let left = self.driver.take().and_then(|driver| driver.process);
        if let Some(chromium) = left.and_then(Pid::from_raw) {
            let _ = kill_process(chromium, Signal::KILL);
        }
        let _ = self.chromedriver.kill();
        let _ = self.chromedriver.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_page_may_do_is_noticed() {
    let world = World::new().await;
    let browser = Browser::signed_in(&world, VIEWER).await;
    assert!(browser.met().await.requests > 2);
    // The policy keeps a page from other hosts, and a console message tells of it.
    let other = world.public("/stranger.png");
    browser
        .asks(&format!(
            "new Image().src = '{other}'; console.warn('odd');"
        ))
        .await;
    let met = browser.met().await;
    let said = |part: &str| met.console.iter().any(|line| line.contains(part));
    assert!(said("Content Security Policy") && said("odd"), "{met:?}");
    // Where no policy stands between, the request itself is seen.
    browser.driver().go(&other).await;
    let met = browser.met().await;
    assert_eq!(met.strangers.first(), Some(&other), "{met:?}");
    let chromium = browser.driver().process.unwrap();
    drop(browser);
    let left = PathBuf::from(format!("/proc/{chromium}/cmdline"));
    for _ in 0..LOOKS {
        // A process that ended and that nobody has asked after has no arguments.
        if std::fs::read(&left).unwrap_or_default().is_empty() {
            return world.strike().await;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("Chromium is left running");
}
