//! Reports as people ask for them: texts become a question, and who may not see
//! email addresses gets them masked. It adds nothing up.

use serde::Deserialize;

use super::UsageError;
use crate::day::{Day, Month, Zone};
use crate::ledger::{Ledger, LedgerError};
use crate::lookup;
use crate::report::{Basis, By, Group, Most, Question, Report};
use crate::time::Time;

/// Lines of one answer of the API, unless asked otherwise.
pub const LINES: usize = 1_000;

/// Lines of one answer of the API at most: a few megabytes.
pub const LINES_MOST: usize = 20_000;

/// A report as people ask for it.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportText {
    /// partner, customer, source, day or month.
    pub by: Option<String>,
    /// The first day: a date, a month, or `30d` for so many days ago.
    pub from: Option<String>,
    /// The last day, which is part of it: the same.
    pub to: Option<String>,
    /// Where days begin and end.
    pub zone: Option<String>,
    /// own or sale.
    pub basis: Option<String>,
    /// Lines at most.
    pub limit: Option<String>,
}

impl ReportText {
    /// The question, and how many lines the answer may have. `own` is the
    /// ledger's zone.
    ///
    /// # Errors
    /// The first text that cannot be read, by its name.
    pub fn read(&self, now: Time, own: &Zone) -> Result<(Question, usize), UsageError> {
        let by = match self.by.as_deref() {
            Some("partner") => By::Partner,
            Some("customer") => By::Customer,
            Some("source") => By::Source,
            Some("day") => By::Day,
            Some("month") => By::Month,
            _ => {
                let words = "partner, customer, source, day, month";
                return Err(UsageError(format!("by: write one of {words}")));
            }
        };
        let zone = self.zone.as_deref().map(Zone::parse).transpose();
        let zone = zone.map_err(|error| UsageError(format!("zone: {error}")))?;
        let basis = match self.basis.as_deref() {
            None | Some("own") => Basis::Own,
            Some("sale") => Basis::Sale,
            Some(_) => return Err(UsageError("basis: write own or sale".to_owned())),
        };
        let today = zone.as_ref().unwrap_or(own).day_of(now);
        let end = |name: &str, text: &Option<String>| {
            let days = text.as_deref().map(|text| days(name, text, today));
            days.transpose()
        };
        let from = end("from", &self.from)?.map(|(first, _)| first);
        let to = end("to", &self.to)?.map(|(_, last)| last);
        if let (Some(first), Some(last)) = (from, to)
            && first > last
        {
            return Err(UsageError(format!(
                "from: {first} is after {last}, which is the last day asked for"
            )));
        }
        let question = Question {
            by,
            from,
            to,
            zone,
            basis,
        };
        Ok((question, self.lines()?))
    }

    fn lines(&self) -> Result<usize, UsageError> {
        match self.limit.as_deref().map(str::parse) {
            None => Ok(LINES),
            Some(Ok(limit)) if (1..=LINES_MOST).contains(&limit) => Ok(limit),
            Some(_) => Err(UsageError(format!(
                "limit: write a number from 1 to {LINES_MOST}"
            ))),
        }
    }
}

/// The first and the last day of a text: they differ where it names a month.
fn days(name: &str, text: &str, today: Day) -> Result<(Day, Day), UsageError> {
    let ago = text
        .strip_suffix('d')
        .and_then(|count| count.parse::<u32>().ok());
    if let Some(count) = ago {
        let day = today.plus(-i64::from(count));
        return Ok((day, day));
    }
    if text == "today" {
        return Ok((today, today));
    }
    let date = Day::parse(text).map(|day| (day, day));
    let month = || Month::parse(text).and_then(Month::days);
    date.or_else(month).ok_or_else(|| {
        UsageError(format!(
            "{name}: \"{text}\" is no day: write 2026-06-01, 2026-06 for the month, or 30d for \
             so many days ago"
        ))
    })
}

/// The report that answers a question, with `limit` lines at most where there is
/// one; `plain` shows email addresses in full.
///
/// # Errors
/// As the ledger's.
pub async fn report(
    ledger: &Ledger,
    question: Question,
    limit: Option<usize>,
    plain: bool,
) -> Result<Report, LedgerError> {
    let most = limit.map_or(Most::All, Most::First);
    let by = vec![question.by];
    let mut reports = ledger.reports(question, by, most.into()).await?;
    let Some(mut report) = reports.pop() else {
        let why = "a question without an answer".to_owned();
        return Err(LedgerError::Unusable(why));
    };
    if !plain {
        hide(&mut report);
    }
    Ok(report)
}

/// The partners and the customers that stand first in each currency, `lines` of them,
/// in this order; `plain` as for [`report`].
///
/// # Errors
/// As the ledger's.
pub async fn first_people(
    ledger: &Ledger,
    question: Question,
    lines: usize,
    plain: bool,
) -> Result<(Report, Report), LedgerError> {
    let bys = vec![By::Partner, By::Customer];
    let reports = ledger
        .reports(question, bys, Most::Each(lines).into())
        .await?;
    let reports: Result<[Report; 2], _> = reports.try_into();
    let Ok([mut partners, mut customers]) = reports else {
        let why = "a question without an answer".to_owned();
        return Err(LedgerError::Unusable(why));
    };
    if !plain {
        hide(&mut partners);
        hide(&mut customers);
    }
    Ok((partners, customers))
}

fn hide(report: &mut Report) {
    for line in &mut report.items {
        line.group.iter_mut().for_each(mask);
        line.partner_name = line.partner_name.as_deref().map(lookup::mask_email);
    }
}

fn mask(group: &mut Group) {
    let hide = |text: &mut Option<String>| *text = text.as_deref().map(lookup::mask_email);
    match group {
        Group::Partner { partner_key, .. } => hide(partner_key),
        Group::Customer {
            customer_key,
            partner_key,
            ..
        } => {
            hide(customer_key);
            hide(partner_key);
        }
        Group::Source { .. } | Group::Day { .. } | Group::Month { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(by: &str, from: &str, to: &str) -> ReportText {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ReportText {
            by: some(by),
            from: some(from),
            to: some(to),
            ..ReportText::default()
        }
    }

    fn read(text: &ReportText) -> Result<(Option<String>, Option<String>), String> {
        let now = Time::parse("2026-06-30T23:30:00Z").unwrap();
        let (question, _) = text.read(now, &Zone::utc()).map_err(|error| error.0)?;
        let day = |day: Option<Day>| day.map(|day| day.to_string());
        Ok((day(question.from), day(question.to)))
    }

    #[test]
    fn days_are_read_as_people_write_them() {
        let ends = |from: &str, to: &str| {
            let (from, to) = read(&text("day", from, to)).unwrap();
            (from.unwrap_or_default(), to.unwrap_or_default())
        };
        let both = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(ends("", ""), both("", ""));
        assert_eq!(
            ends("2026-06-01", "2026-06-01"),
            both("2026-06-01", "2026-06-01")
        );
        assert_eq!(ends("2026-02", "2026-02"), both("2026-02-01", "2026-02-28"));
        assert_eq!(ends("7d", "today"), both("2026-06-23", "2026-06-30"));
        // Today is another day elsewhere.
        let mut east = text("day", "today", "");
        east.zone = Some("Asia/Tokyo".to_owned());
        assert_eq!(read(&east).unwrap().0.as_deref(), Some("2026-07-01"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (asked, name) in [
            (text("", "", ""), "by"),
            (text("week", "", ""), "by"),
            (text("day", "June", ""), "from"),
            (text("day", "", "2026-02-30"), "to"),
            (text("day", "2026-06-02", "2026-06-01"), "from"),
        ] {
            let why = read(&asked).unwrap_err();
            assert!(why.starts_with(&format!("{name}: ")), "{why}");
        }
        let with = |change: fn(&mut ReportText)| {
            let mut asked = text("day", "", "");
            change(&mut asked);
            read(&asked).unwrap_err()
        };
        assert!(with(|it| it.zone = Some("Mars".to_owned())).starts_with("zone: "));
        assert!(with(|it| it.basis = Some("both".to_owned())).starts_with("basis: "));
        assert!(with(|it| it.limit = Some("0".to_owned())).starts_with("limit: "));
    }
}
