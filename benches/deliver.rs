//! Sends signed webhooks to services as fast as they answer, and says how many of them
//! were answered 200 in a second: `cargo bench --bench deliver -- SECONDS CONNECTIONS
//! http://127.0.0.1:PORT/webhooks/SOURCE…`. Each is a Stripe charge of its own of some
//! 2.7 kB; the secret of the source is in `HOOK`. It goes to loopback only.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tributary::time::Clock;

/// What a charge has beside what we read, so that it is as long as a real one.
const REST_BYTES: usize = 2_100;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Where a service listens and the path of its source.
#[derive(Clone)]
struct Place {
    at: String,
    path: String,
}

impl Place {
    fn read(url: &str) -> Option<Place> {
        let (at, path) = url.strip_prefix("http://")?.split_once('/')?;
        let here = at.starts_with("127.0.0.1:") || at.starts_with("localhost:");
        here.then(|| Place {
            at: at.to_owned(),
            path: format!("/{path}"),
        })
    }
}

fn request(place: &Place, secret: &str, run: i64) -> Vec<u8> {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let at = Clock::Machine.now().ms() / 1_000;
    let id = format!("{run:x}{n:x}");
    let rest = "x".repeat(REST_BYTES);
    let body = format!(
        r#"{{"id":"evt_{id}","object":"event","type":"charge.succeeded","created":{at},"livemode":true,"data":{{"object":{{"id":"ch_{id}","object":"charge","amount":4999,"amount_captured":4999,"amount_refunded":0,"captured":true,"currency":"usd","customer":"cus_{}","created":{at},"livemode":true,"paid":true,"refunded":false,"status":"succeeded","payment_intent":"pi_{id}","metadata":{{"customer_key":"customer-{}"}},"description":"{rest}"}}}}}}"#,
        n % 10_000,
        n % 10_000
    );
    // Any length of key will do.
    let signature = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map(|mut mac| {
        mac.update(format!("{at}.{body}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    });
    let signature = signature.unwrap_or_default();
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nStripe-Signature: \
         t={at},v1={signature}\r\nContent-Length: {}\r\n\r\n{body}",
        place.path,
        place.at,
        body.len()
    )
    .into_bytes()
}

/// The status of one answer, read to its end.
fn status(answers: &mut BufReader<TcpStream>) -> std::io::Result<u16> {
    let (mut line, mut status, mut length) = (String::new(), 0, 0);
    loop {
        line.clear();
        if answers.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = text.strip_prefix("http/1.1 ") {
            status = rest.get(..3).and_then(|it| it.parse().ok()).unwrap_or(0);
        } else if let Some(rest) = text.strip_prefix("content-length:") {
            length = rest.trim().parse().unwrap_or(0);
        } else if text.is_empty() {
            answers.read_exact(&mut vec![0; length])?;
            return Ok(status);
        }
    }
}

/// Sends until the time is over; answers how long each answer took, and how
/// many were not answered 200.
fn send(
    place: &Place,
    secret: &str,
    run: i64,
    until_ms: i64,
) -> std::io::Result<(Vec<Duration>, u64)> {
    let stream = TcpStream::connect(&place.at)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(stream.try_clone()?);
    let (mut took, mut refused, mut stream) = (Vec::new(), 0, stream);
    while Clock::Machine.read().boot_ms < until_ms {
        let request = request(place, secret, run);
        let sent = stopwatch();
        stream.write_all(&request)?;
        match status(&mut answers)? {
            200 => took.push(stopwatch().duration_since(sent)),
            _ => refused += 1,
        }
    }
    stream.shutdown(Shutdown::Both)?;
    Ok((took, refused))
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is how long an answer takes, to the microsecond"
)]
fn stopwatch() -> std::time::Instant {
    std::time::Instant::now()
}

fn main() -> ExitCode {
    let said: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let (seconds, connections, places) = match said.as_slice() {
        [seconds, connections, urls @ ..] => (
            seconds.parse::<i64>().ok(),
            connections.parse::<usize>().ok(),
            urls.iter()
                .map(|url| Place::read(url))
                .collect::<Option<Vec<_>>>(),
        ),
        // Without anything to send to there is nothing to measure.
        _ => return ExitCode::SUCCESS,
    };
    let (Some(seconds), Some(connections), Some(places)) = (seconds, connections, places) else {
        eprintln!("SECONDS CONNECTIONS http://127.0.0.1:PORT/webhooks/SOURCE…");
        return ExitCode::from(2);
    };
    let secret = secret();
    let began = Clock::Machine.read();
    let until_ms = began.boot_ms + seconds * 1_000;
    let run = began.wall.ms();
    let sent: Vec<_> = std::thread::scope(|threads| {
        let senders: Vec<_> = places
            .iter()
            .cycle()
            .take(connections)
            .map(|place| threads.spawn(|| send(place, &secret, run, until_ms)))
            .collect();
        senders.into_iter().map(|it| it.join()).collect()
    });
    let (mut took, mut refused, mut cut) = (Vec::new(), 0, 0);
    for one in sent {
        match one {
            Ok(Ok((times, others))) => {
                took.extend(times);
                refused += others;
            }
            _ => cut += 1,
        }
    }
    let elapsed_ms = Clock::Machine.read().boot_ms - began.boot_ms;
    took.sort_unstable();
    let part = |of: usize| took.get(took.len() * of / 100).copied().unwrap_or_default();
    println!(
        "{} deliveries a second, p50 {:?}, p99 {:?}, {refused} not answered 200, {cut} connections cut",
        i64::try_from(took.len()).unwrap_or(i64::MAX) * 1_000 / elapsed_ms.max(1),
        part(50),
        part(99)
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
