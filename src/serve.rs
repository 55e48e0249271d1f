//! Running the service: both listeners, the forwarders and the signals.
//!
//! SIGTERM and SIGINT drain and end; SIGHUP reads the secrets again. Nothing
//! about money is decided here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::app::{self, App, AppError};
use crate::condense;
use crate::config::Config;
use crate::http::access::Access;
use crate::http::{api, listen, webhooks};
use crate::metrics::Metrics;
use crate::time::Clock;

/// How long calls under way may take to end at a shutdown; supervisors often
/// grant ten seconds in all.
const CALLS_END: Duration = Duration::from_secs(5);

/// How long a body may take on the admin listener: files of old payments come
/// there, from people who have a token.
const UPLOAD: Duration = Duration::from_secs(60 * 60);

/// A service that is listening.
pub struct Service {
    /// The program.
    pub app: App,
    /// Where webhooks come in.
    pub public: SocketAddr,
    /// Where the API answers.
    pub admin: SocketAddr,
    access: Arc<Access>,
    stop: CancellationToken,
    listeners: Vec<JoinHandle<()>>,
    forwarders: Vec<JoinHandle<()>>,
    forwarding: CancellationToken,
}

impl Service {
    /// Opens the ledger, then listens, then forwards. The configuration and the
    /// addresses are checked before the first delivery can arrive.
    ///
    /// # Errors
    /// One clear line.
    pub async fn start(
        config: Arc<Config>,
        clock: Clock,
        metrics: Option<Metrics>,
    ) -> Result<Service, AppError> {
        // A mistake in the settings is told before anything listens.
        app::terms(&config)?;
        let public = listen::bind(config.http.public).await?;
        let admin = listen::bind(config.http.admin).await?;
        let app = App::open(Arc::clone(&config), clock.clone(), true)?;
        let access = Arc::new(Access::new(&config, clock));
        let stop = CancellationToken::new();
        let forwarding = CancellationToken::new();
        let mut forwarders = app.start_forwarders(&forwarding)?;
        forwarders.extend(app.start_inquirers(&forwarding)?);
        let (public_at, admin_at) = (address(&public)?, address(&admin)?);
        let mut listeners = vec![
            tokio::spawn(listen::serve(
                public,
                webhooks::router(app.clone(), stop.clone()),
                stop.clone(),
            )),
            tokio::spawn(listen::serve_within(
                listen::Limits {
                    body: UPLOAD,
                    ..listen::Limits::default()
                },
                admin,
                api::router(app.clone(), &access, metrics.clone()),
                stop.clone(),
            )),
        ];
        let imports = Arc::clone(&app.imports);
        listeners.push(tokio::spawn(imports.run(app.clone(), stop.clone())));
        listeners.push(tokio::spawn(condense::run(
            app.ledger.clone(),
            stop.clone(),
        )));
        listeners.extend(app.start_key_sets(&stop));
        if let Some(metrics) = metrics {
            let stop = stop.clone();
            listeners.push(tokio::spawn(async move { metrics.upkeep(stop).await }));
        }
        Ok(Service {
            app,
            public: public_at,
            admin: admin_at,
            access,
            stop,
            listeners,
            forwarders,
            forwarding,
        })
    }

    /// Takes no more, answers what is under way, lets calls end, closes.
    pub async fn stop(mut self) {
        self.stop.cancel();
        for listener in self.listeners.drain(..) {
            let _ = listener.await;
        }
        self.stop_forwarders().await;
        self.app.ledger.close().await;
    }

    async fn stop_forwarders(&mut self) {
        self.forwarding.cancel();
        for mut forwarder in self.forwarders.drain(..) {
            if tokio::time::timeout(CALLS_END, &mut forwarder)
                .await
                .is_err()
            {
                // Calls under way are let go: their intents are on disk and are
                // read back by whoever serves next.
                forwarder.abort();
            }
        }
    }

    /// Reads every secret again; where one cannot be read the old ones stay.
    async fn reload(&mut self) {
        if let Err(error) = self.app.config.reload_secrets() {
            tracing::error!(%error, "the secrets were not read again; the old ones stay");
            return;
        }
        self.access.reload(&self.app.config);
        // A destination keeps its keys: it is made anew, after its calls ended.
        self.stop_forwarders().await;
        self.forwarding = CancellationToken::new();
        let started = self.app.start_forwarders(&self.forwarding);
        let asking = self.app.start_inquirers(&self.forwarding);
        match started.and_then(|forwarders| Ok((forwarders, asking?))) {
            Ok((forwarders, asking)) => {
                self.forwarders = forwarders;
                self.forwarders.extend(asking);
                tracing::info!("the secrets were read again");
            }
            Err(error) => tracing::error!(%error, "forwarding did not start again"),
        }
    }

    /// Runs until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// Where signals cannot be waited for.
    pub async fn run(mut self) -> Result<(), AppError> {
        let listen_to = |kind| signal(kind).map_err(|error| AppError::Other(error.to_string()));
        let mut terminate = listen_to(SignalKind::terminate())?;
        let mut interrupt = listen_to(SignalKind::interrupt())?;
        let mut hang_up = listen_to(SignalKind::hangup())?;
        // A limit on the size of files is a fault of the disk, which intake answers
        // with 503, and no reason to die.
        let too_large = rustix::process::Signal::XFSZ.as_raw();
        let _kept = listen_to(SignalKind::from_raw(too_large))?;
        tracing::info!(public = %self.public, admin = %self.admin, "listening");
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => self.reload().await,
            }
        }
        tracing::info!("draining");
        self.stop().await;
        tracing::info!("stopped");
        Ok(())
    }
}

fn address(listener: &TcpListener) -> Result<SocketAddr, AppError> {
    listener
        .local_addr()
        .map_err(|error| AppError::Other(error.to_string()))
}
