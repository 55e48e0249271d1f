//! Sends signed webhooks to services on loopback as fast as they answer, each connection
//! the next one when the last is answered, and says what that came to:
//!
//! `cargo bench --bench deliver -- [OPTIONS] http://127.0.0.1:PORT/webhooks/SOURCE…`
//!
//! Each is a Stripe charge of its own of some 2.7 kB with a fresh signature; the secret
//! of the source is in `HOOK`. It prints one line of `name=value`.

use std::cell::RefCell;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tributary::time::Clock;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many customers the charges are of.
const CUSTOMERS: u32 = 10_000;
/// How many characters of its own an id has, as Stripe's have.
const OWN: usize = 16;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Longer ones than a service answers are not read.
const ANSWER_MAX: usize = 16 * 1024;

#[derive(Parser)]
struct Said {
    /// For how long.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// For how long before that, which is not counted.
    #[arg(long, default_value_t = 1)]
    warm: u64,
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Of a hundred, how many were sent before.
    #[arg(long, default_value_t = 0)]
    again: u32,
    /// The process that serves: what it and its children use is told as well.
    #[arg(long)]
    pid: Vec<u32>,
    urls: Vec<String>,
    /// `cargo bench` says so.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Where a service listens and the path of its source.
#[derive(Clone)]
struct Place {
    at: SocketAddr,
    path: String,
}

impl Place {
    fn read(url: &str) -> Option<Place> {
        let (at, path) = url.strip_prefix("http://")?.split_once('/')?;
        let at: SocketAddr = at.parse().ok()?;
        at.ip().is_loopback().then(|| Place {
            at,
            path: format!("/{path}"),
        })
    }
}

/// A charge as Stripe tells of one, with `{{name}}` for what differs.
const CHARGE: &str = include_str!("charge.json");

/// What is written for each event, in the order in which it stands in [`CHARGE`].
struct Charge {
    /// The pieces between what differs, and what stands behind each.
    pieces: Vec<(&'static str, &'static str)>,
}

impl Charge {
    fn read() -> Charge {
        let mut pieces = Vec::new();
        let mut rest = CHARGE.trim_end();
        // A name stands between `{{` and `}}`: no JSON of ours has those.
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").unwrap_or((after, ""));
            pieces.push((before, name));
            rest = behind;
        }
        pieces.push((rest, ""));
        Charge { pieces }
    }

    /// One event; `own` makes it what it is.
    fn write(&self, own: u64, at: i64, body: &mut Vec<u8>) {
        body.clear();
        let mut rng = StdRng::seed_from_u64(own);
        let mut id = [0; OWN];
        for letter in &mut id {
            *letter = LETTERS[rng.random_range(0..LETTERS.len())];
        }
        let customer = rng.random_range(0..CUSTOMERS);
        let amount = rng.random_range(500..50_000);
        for (before, name) in &self.pieces {
            body.extend_from_slice(before.as_bytes());
            // Into memory nothing fails.
            let _ = match *name {
                "id" => std::io::Write::write_all(body, &id),
                "at" => write!(body, "{at}"),
                "amount" => write!(body, "{amount}"),
                "customer" => write!(body, "{customer:05}"),
                "random" => write!(body, "{:016x}", rng.next_u64()),
                _ => Ok(()),
            };
        }
    }
}

/// What all connections share.
struct Load {
    charge: Charge,
    secret: Vec<u8>,
    again: u32,
    run: u64,
    state: RefCell<State>,
    counted_from: Instant,
    until: Instant,
}

struct State {
    next: u64,
    rng: StdRng,
    took: Vec<Duration>,
    refused: u64,
}

impl Load {
    /// Which event comes next: when it was made, and what makes it its own.
    fn next(&self, at: i64) -> (u64, i64) {
        let mut state = self.state.borrow_mut();
        let before = state.next;
        if before > 0 && self.again > 0 && state.rng.random_range(0..100) < self.again {
            // What is told again is told as it was: its time is part of it.
            let which = state.rng.random_range(0..before);
            return (self.run.wrapping_add(which), self.made_at(which));
        }
        state.next += 1;
        let at = if self.again > 0 {
            self.made_at(before)
        } else {
            at
        };
        (self.run.wrapping_add(before), at)
    }

    /// When an event was made that may be told again.
    fn made_at(&self, which: u64) -> i64 {
        let started = i64::try_from(self.run >> 20).unwrap_or_default();
        started + i64::try_from(which / 10_000).unwrap_or_default()
    }

    fn request(&self, place: &Place, request: &mut Vec<u8>, body: &mut Vec<u8>) {
        let now = Clock::Machine.now().ms() / 1_000;
        let (own, at) = self.next(now);
        self.charge.write(own, at, body);
        request.clear();
        let _ = write!(
            request,
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json; charset=utf-8\r\n\
             Content-Length: {}\r\nStripe-Signature: t={now},v1=",
            place.path,
            place.at,
            body.len()
        );
        // Any length of key will do.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) {
            mac.update(now.to_string().as_bytes());
            mac.update(b".");
            mac.update(body);
            request.extend_from_slice(hex::encode(mac.finalize().into_bytes()).as_bytes());
        }
        request.extend_from_slice(b"\r\n\r\n");
        request.extend_from_slice(body);
    }

    async fn send(&self, place: &Place) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(place.at).await?;
        stream.set_nodelay(true)?;
        let (mut request, mut body, mut answer) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            self.request(place, &mut request, &mut body);
            let sent = stopwatch();
            if sent >= self.until {
                return Ok(());
            }
            stream.write_all(&request).await?;
            let status = tokio::time::timeout(PATIENCE, status(&mut stream, &mut answer)).await??;
            let answered = stopwatch();
            let mut state = self.state.borrow_mut();
            match status {
                200 if sent >= self.counted_from => state.took.push(answered - sent),
                200 => {}
                _ => state.refused += 1,
            }
        }
    }
}

/// The status of one answer, read to its end.
async fn status(stream: &mut TcpStream, answer: &mut Vec<u8>) -> std::io::Result<u16> {
    let cut = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 || answer.len() > ANSWER_MAX {
            return Err(cut());
        }
        let Some(head) = memchr::memmem::find(answer, b"\r\n\r\n") else {
            continue;
        };
        let text = std::str::from_utf8(&answer[..head]).map_err(|_| cut())?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|it| it.parse().ok());
        let mut length = 0;
        for line in lines {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let whole = head + 4 + length;
        while answer.len() < whole {
            if stream.read_buf(answer).await? == 0 {
                return Err(cut());
            }
        }
        return status.ok_or_else(cut);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is how long an answer takes, to the microsecond"
)]
fn stopwatch() -> Instant {
    Instant::now()
}

/// What processes used until now.
#[derive(Clone, Copy, Default)]
struct Used {
    /// Of the processor, in ticks of 10 ms.
    ticks: u64,
    /// Handed to the disk, in bytes.
    written: u64,
    /// The most memory so far, in KiB.
    peak_kib: u64,
}

/// A process and all that it started.
fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        let tasks = std::fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(task.path().join("children"));
            let children = children.unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|it| it.parse::<u32>().ok()),
            );
        }
        at += 1;
    }
    all
}

fn used(pids: &[u32]) -> Used {
    let mut used = Used::default();
    for pid in pids.iter().flat_map(|pid| family(*pid)) {
        let file = |name: &str| {
            std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/{name}")))
                .unwrap_or_default()
        };
        // Fields 14 and 15, counted behind the name, which may hold anything.
        let stat = file("stat");
        let behind = stat.rsplit_once(") ").map_or("", |(_, it)| it);
        let fields = behind.split(' ').skip(11).take(2);
        used.ticks += fields.filter_map(|it| it.parse::<u64>().ok()).sum::<u64>();
        let named = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|it| it.split_whitespace().next());
            number.and_then(|it| it.parse::<u64>().ok()).unwrap_or(0)
        };
        used.written += named(&file("io"), "write_bytes:");
        used.peak_kib += named(&file("status"), "VmHWM:");
    }
    used
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let said = Said::parse();
    if said.urls.is_empty() {
        // Without anything to send to there is nothing to measure.
        return ExitCode::SUCCESS;
    }
    let places: Option<Vec<Place>> = said.urls.iter().map(|url| Place::read(url)).collect();
    let Some(places) = places else {
        eprintln!("only http://127.0.0.1:PORT/webhooks/SOURCE is sent to");
        return ExitCode::from(2);
    };
    let started = stopwatch();
    let run = Clock::Machine.now().ms() / 1_000;
    let counted_from = started + Duration::from_secs(said.warm);
    let until = counted_from + Duration::from_secs(said.seconds);
    let load = Rc::new(Load {
        charge: Charge::read(),
        secret: secret().into_bytes(),
        again: said.again,
        run: u64::try_from(run).unwrap_or_default() << 20,
        state: RefCell::new(State {
            next: 0,
            rng: StdRng::seed_from_u64(1),
            took: Vec::new(),
            refused: 0,
        }),
        counted_from,
        until,
    });
    let mut senders = JoinSet::new();
    let tasks = LocalSet::new();
    for place in places.iter().cycle().take(said.connections) {
        let (load, place) = (Rc::clone(&load), place.clone());
        senders.spawn_local_on(async move { load.send(&place).await }, &tasks);
    }
    let watched = async {
        tokio::time::sleep_until(counted_from.into()).await;
        let before = used(&said.pid);
        tokio::time::sleep_until(until.into()).await;
        let after = used(&said.pid);
        (senders.join_all().await, before, after)
    };
    let (ended, before, after) = tasks.run_until(watched).await;
    let cut = ended.iter().filter(|it| it.is_err()).count();
    if let Some(Err(why)) = ended.iter().find(|it| it.is_err()) {
        eprintln!("a connection broke: {why}");
    }
    let mut state = load.state.borrow_mut();
    let refused = state.refused;
    let took = &mut state.took;
    took.sort_unstable();
    let part = |of: usize| {
        let at = (took.len() * of / 1_000).min(took.len().saturating_sub(1));
        took.get(at).map_or(0, Duration::as_micros)
    };
    let many = u64::try_from(took.len()).unwrap_or(u64::MAX).max(1);
    let ms = (until - counted_from).as_millis().max(1);
    println!(
        "per_s={} p50_us={} p99_us={} max_us={} cpu_ns={} written_b={} peak_kib={} refused={refused} cut={cut}",
        u128::from(many) * 1_000 / ms,
        part(500),
        part(990),
        part(1_000),
        after.ticks.saturating_sub(before.ticks) * 10_000_000 / many,
        after.written.saturating_sub(before.written) / many,
        after.peak_kib,
    );
    match cut == 0 && refused == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measure has no configuration of its own"
)]
fn secret() -> String {
    std::env::var("HOOK").unwrap_or_default()
}
