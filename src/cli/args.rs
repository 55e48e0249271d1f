//! The arguments of every command, as `--help` shows them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::ops::FilterText;
use crate::sandbox::fault::Fault;

/// Every payment counted once, to the cent, for the partner who earned it.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, about, max_term_width = 100)]
pub(super) struct Args {
    /// The configuration's file [default: tributary.toml, then $TRIBUTARY_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print data as JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Take webhooks and forward: both listeners and the forwarder
    Serve,
    /// Check the configuration, the ledger and the destination
    Check {
        /// Do not call the destination
        #[arg(long)]
        offline: bool,
    },
    /// List payments
    Payments(Filters),
    /// Add the money up by partner, customer, source, day or month
    Report(Report),
    /// Tell one payment's whole story
    Explain {
        /// The source's name
        source: String,
        /// A payment's id, or a delivery's
        id: String,
        /// Print the bytes of this delivery as they came, and nothing else
        #[arg(long)]
        body: bool,
    },
    /// Tie a provider's id to a customer key; what waited for it goes on
    Link(Link),
    /// Take a link away
    Unlink {
        /// The source's name
        source: String,
        /// The kind of id, for example customer
        kind: String,
        /// The id at the provider
        external_id: String,
    },
    /// State a refund that no webhook tells of
    Refund {
        /// The source's name
        source: String,
        /// The payment's id
        payment_id: String,
        /// The refund's id: saying it twice counts once
        #[arg(long)]
        refund_id: String,
        /// The amount in minor units of the payment's currency
        #[arg(long)]
        amount: i64,
    },
    /// Say to which payment a reversal belongs
    Attach {
        /// The source's name
        source: String,
        /// The refund's or dispute's id
        reversal_id: String,
        /// The payment's id
        payment_id: String,
    },
    /// Try failed or unattributed payments again
    Retry {
        #[command(flatten)]
        selection: Selection,
        /// Of this customer key
        #[arg(long)]
        customer: Option<String>,
    },
    /// Forward nothing for payments
    Skip {
        #[command(flatten)]
        selection: Selection,
        /// Of this customer key
        #[arg(long)]
        customer: Option<String>,
        /// Why; it is written down
        #[arg(long)]
        reason: String,
        /// Also where the destination holds transactions, which stay there
        #[arg(long)]
        leave: bool,
    },
    /// Let held payments go on
    Release {
        #[command(flatten)]
        selection: Selection,
        /// Go on in spite of the reason, for the money as it stands
        #[arg(long, group = "how")]
        accept: bool,
        /// Go on by this policy: negative, replace, delete or hold
        #[arg(long, group = "how", value_name = "P")]
        policy: Option<String>,
        /// It belongs to this customer key
        #[arg(long, group = "how", value_name = "K")]
        customer: Option<String>,
        /// Of this customer key (a filter; --customer says whom they belong to)
        #[arg(long, value_name = "K")]
        of_customer: Option<String>,
        /// Why; it is written down
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Print payments as CSV that imports back to the same books
    Export {
        #[command(flatten)]
        narrow: Narrow,
        /// The customer key
        #[arg(long)]
        customer: Option<String>,
    },
    /// Bring old payments in from a CSV file; exit 3 where rows were rejected
    Import(Import),
    /// Compare the ledger with the destination's own list; exit 3 where they differ
    Reconcile {
        /// Only transactions from here on: RFC 3339, a date, or 7d
        #[arg(long, value_name = "T")]
        since: Option<String>,
        /// Write down what the destination holds, so that what we owe is due again
        #[arg(long, conflicts_with = "adopt")]
        fix: bool,
        /// Read the destination's whole list into a ledger that was restored or is new
        #[arg(long, conflicts_with = "since")]
        adopt: bool,
    },
    /// Read the destination's customers, rewards and partners
    Mirror {
        /// Read all there is, not only what is new
        #[arg(long)]
        full: bool,
    },
    /// Copy the ledger into a file, also while it is in use
    Backup {
        /// The file to make; it must not be there yet
        file: PathBuf,
    },
    /// Move the ledger to another place, a file or PostgreSQL; nobody may serve on it
    Copy(Copy),
    /// Run the PartnerStack-compatible sandbox alone
    Sandbox(Sandbox),
    /// Try it all: sandbox, service and signed traffic
    Demo {
        /// Play a fixed script, print a table, end
        #[arg(long)]
        once: bool,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// It does not print itself: URLs may hold passwords.
#[derive(clap::Args)]
pub(super) struct Copy {
    /// The ledger: sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// The new place, which must hold nothing yet
    #[arg(long, value_name = "URL", required_unless_present = "give_up")]
    pub to: Option<String>,
    /// Leave the ledger in use, also while it is served; the copy forwards nothing until it was adopted
    #[arg(long)]
    pub keep_source: bool,
    /// Open the ledger again whose move was begun and is not finished
    #[arg(long, conflicts_with_all = ["to", "keep_source"])]
    pub give_up: bool,
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Copy")
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file, or - for standard input
    pub file: PathBuf,
    /// The source that its payments belong to
    #[arg(long, value_name = "NAME")]
    pub source: String,
    /// auto, tributary, partnerstack, stripe, stripe-old, recurly or mapped
    #[arg(long, value_name = "F")]
    pub format: Option<String>,
    /// Which column is which field, for files of no known format
    #[arg(long, value_name = "COLUMN=FIELD")]
    pub map: Vec<String>,
    /// The time zone of times that name none, such as Europe/Berlin
    #[arg(long, value_name = "TZ")]
    pub zone: Option<String>,
    /// The currency of rows that name none
    #[arg(long, value_name = "CODE")]
    pub currency: Option<String>,
    /// Tell what would change in money, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write what became of each row to this file
    #[arg(long, value_name = "OUT.csv")]
    pub report: Option<PathBuf>,
    /// Record history only: nothing of it is forwarded until somebody releases it
    #[arg(long)]
    pub no_forward: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    #[command(flatten)]
    pub narrow: Narrow,
    /// A payment's id, a delivery's, a customer key or any other id, or how it begins
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Of every source of this provider
    #[arg(long, value_name = "NAME")]
    pub provider: Option<String>,
    /// The customer key
    #[arg(long)]
    pub customer: Option<String>,
    /// How many
    #[arg(long)]
    pub limit: Option<String>,
    /// Go on after this cursor
    #[arg(long)]
    pub cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Report {
    /// partner, customer, source, day or month
    #[arg(long)]
    pub by: String,
    /// The first day: 2026-06-01, 2026-06 for the month, or 30d for so many days ago
    #[arg(long, value_name = "D")]
    pub from: Option<String>,
    /// The last day, which is part of the report
    #[arg(long, value_name = "D")]
    pub to: Option<String>,
    /// Days of another zone than the ledger's, which takes longer [default: ledger.report_zone]
    #[arg(long, value_name = "TZ")]
    pub zone: Option<String>,
    /// own: a reversal counts on its own day; sale: on the day of its sale [default: own]
    #[arg(long)]
    pub basis: Option<String>,
    /// table, csv or json [default: table]
    #[arg(long, value_name = "F")]
    pub format: Option<String>,
}

/// What narrows payments down.
#[derive(Debug, clap::Args)]
pub(super) struct Narrow {
    /// waiting, unattributed, due, settled, failed, held or ignored
    #[arg(long)]
    pub state: Option<String>,
    /// The source's name
    #[arg(long)]
    pub source: Option<String>,
    /// Money moved at or after: RFC 3339, a date, or 7d
    #[arg(long)]
    pub since: Option<String>,
    /// Money moved before
    #[arg(long)]
    pub until: Option<String>,
}

impl Narrow {
    /// The filter as `ops` reads it.
    pub fn text(&self, customer: Option<String>) -> FilterText {
        FilterText {
            state: self.state.clone(),
            source: self.source.clone(),
            provider: None,
            q: None,
            customer_key: customer,
            since: self.since.clone(),
            until: self.until.clone(),
            cursor: None,
            limit: None,
        }
    }
}

/// Which payments are meant: one, those of a filter, or all.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// One payment's source
    #[arg(value_name = "SOURCE", requires = "payment_id")]
    pub one_source: Option<String>,
    /// One payment's id
    #[arg(value_name = "ID")]
    pub payment_id: Option<String>,
    #[command(flatten)]
    pub narrow: Narrow,
    /// Every payment that this is for
    #[arg(long)]
    pub all: bool,
    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Link {
    /// The source's name
    pub source: String,
    /// The kind of id, for example customer
    #[arg(required_unless_present = "csv")]
    pub kind: Option<String>,
    /// The id at the provider
    #[arg(required_unless_present = "csv")]
    pub external_id: Option<String>,
    /// The customer key
    #[arg(required_unless_present = "csv")]
    pub customer_key: Option<String>,
    /// What the payment will be, in minor units, where the provider does not say
    #[arg(long, requires = "currency")]
    pub amount: Option<i64>,
    /// The currency of the amount
    #[arg(long, requires = "amount")]
    pub currency: Option<String>,
    /// Replace another key that was given before
    #[arg(long)]
    pub replace: bool,
    /// Also move money that was already forwarded
    #[arg(long = "move")]
    pub move_forwarded: bool,
    /// Tell what it would do to which payments, and keep nothing
    #[arg(long)]
    pub dry_run: bool,
    /// A file with the columns kind, external_id, customer_key[, amount, currency]
    #[arg(long, conflicts_with_all = ["kind", "external_id", "customer_key", "amount"])]
    pub csv: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Sandbox {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// A fault and how often, for example 500-after=10% or drop-after@POST=next:1
    #[arg(long = "fault", value_name = "KIND=RATE")]
    pub faults: Vec<Fault>,
    /// What a repeated key does: second-row, conflict, refused or same-row
    #[arg(long, default_value = "second-row", value_name = "HOW")]
    pub duplicates: String,
    /// Make unknown customers up instead of answering 404
    #[arg(long)]
    pub auto_customers: bool,
    /// The seed of the faults' dice
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}
