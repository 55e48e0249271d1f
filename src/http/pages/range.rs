//! Which days a page is about: what people choose, and what a report is asked.

use crate::day::{Day, Month, Zone};
use crate::ops::UsageError;
use crate::ops::report::ReportText;
use crate::report::{By, Question};
use crate::time::Time;

use super::form::Fields;
use super::words;

/// The longest range whose days have a bar each; longer ones have one a month.
const DAYS_MOST: usize = 92;

/// What can be chosen with one click: the word in the address, what stands on the
/// page, and so many days.
const CHOICES: [(&str, &str, i64); 4] = [
    ("7d", "7 days", 7),
    ("30d", "30 days", 30),
    ("90d", "90 days", 90),
    ("365d", "365 days", 365),
];

/// All that the ledger knows.
const ALL: &str = "all";

/// Two days of a person's own.
const OWN: &str = "own";

/// The days that a page is about.
#[derive(Clone, Debug)]
pub(super) struct Range {
    chosen: String,
    /// The first day; `None` for all.
    pub(super) from: Option<Day>,
    /// The last one.
    pub(super) to: Day,
    /// Where days begin and end, where it is not the ledger's own zone.
    pub(super) zone: Option<Zone>,
    /// The zone's name.
    pub(super) zone_name: String,
    /// The ledger's own zone.
    own_zone: String,
    /// The words of every address on this page: the choice stays as it is.
    words: Vec<(&'static str, String)>,
}

impl Range {
    /// Reads what an address says; `usual` is meant where it says nothing.
    ///
    /// # Errors
    /// The first text that cannot be read, by its name.
    pub(super) fn read(
        query: &Fields,
        usual: &'static str,
        now: Time,
        own: &Zone,
    ) -> Result<Range, UsageError> {
        let zone = query.one("zone").filter(|name| *name != own.name());
        let zone = zone.map(Zone::parse).transpose();
        let zone = zone.map_err(|error| UsageError(format!("zone: {error}")))?;
        let today = zone.as_ref().unwrap_or(own).day_of(now);
        let ends = query.one("from").is_some() || query.one("to").is_some();
        let chosen = match query.one("range") {
            Some(chosen) if chosen != OWN => chosen,
            _ if ends => OWN,
            _ => usual,
        };
        let known = CHOICES.iter().find(|(word, ..)| *word == chosen);
        let (from, to) = match (chosen, known) {
            (_, Some((.., days))) => (Some(today.plus(1 - days)), today),
            (ALL, _) => (None, today),
            (OWN, _) => {
                let text = ReportText {
                    by: Some("day".to_owned()),
                    from: query.one("from").map(str::to_owned),
                    to: query.one("to").map(str::to_owned),
                    zone: zone.as_ref().map(|zone| zone.name().to_owned()),
                    ..ReportText::default()
                };
                let (question, _) = text.read(now, own)?;
                (question.from, question.to.unwrap_or(today))
            }
            _ => return Err(UsageError(format!("range: \"{chosen}\" is no choice here"))),
        };
        let mut words = vec![("range", chosen.to_owned())];
        if chosen == OWN {
            words.extend(from.map(|day| ("from", day.to_string())));
            words.push(("to", to.to_string()));
        }
        words.extend(zone.as_ref().map(|zone| ("zone", zone.name().to_owned())));
        Ok(Range {
            chosen: chosen.to_owned(),
            from,
            to,
            zone_name: zone.as_ref().unwrap_or(own).name().to_owned(),
            own_zone: own.name().to_owned(),
            zone,
            words,
        })
    }

    /// The question about these days.
    pub(super) fn question(&self, by: By) -> Question {
        Question {
            by,
            from: self.from,
            to: Some(self.to),
            zone: self.zone.clone(),
            basis: crate::report::Basis::Own,
        }
    }

    /// As many days, right before these; `None` before all.
    pub(super) fn before(&self) -> Option<Question> {
        let from = self.from?;
        let mut days = 1;
        while from.plus(days) <= self.to {
            days += 1;
        }
        Some(Question {
            from: Some(from.plus(-days)),
            to: Some(from.plus(-1)),
            ..self.question(By::Month)
        })
    }

    /// Every day, where each has a bar of its own; `None` where months have.
    pub(super) fn days(&self) -> Option<Vec<Day>> {
        let from = self.from?;
        let days = (0..).map(|count| from.plus(count));
        let days: Vec<Day> = days
            .take_while(|day| *day <= self.to)
            .take(DAYS_MOST + 1)
            .collect();
        (days.len() <= DAYS_MOST).then_some(days)
    }

    /// Every month from the first with money, or the first asked for.
    pub(super) fn months(&self, first: Option<Month>) -> Vec<Month> {
        let last = self.to.month();
        let mut month = match (self.from, first) {
            (Some(from), _) => from.month(),
            (None, Some(first)) => first,
            (None, None) => last,
        };
        let mut months = Vec::new();
        while month <= last {
            months.push(month);
            match month.days() {
                Some((_, end)) => month = end.plus(1).month(),
                None => break,
            }
        }
        months
    }

    /// The choices: address, words, and whether it is this one.
    pub(super) fn choices(&self) -> Vec<(String, &'static str, bool)> {
        let all = [(ALL, "All", 0)];
        let choices = CHOICES.iter().chain(&all);
        let choices = choices.map(|(word, text, _)| {
            let mut address = format!("?range={word}");
            if let Some(zone) = &self.zone {
                address.push_str(&format!("&zone={}", words::part(zone.name())));
            }
            (address, *text, *word == self.chosen)
        });
        choices.collect()
    }

    /// Whether two days of a person's own were chosen.
    pub(super) fn is_own(&self) -> bool {
        self.chosen == OWN
    }

    /// The first day as a form has it.
    pub(super) fn first(&self) -> String {
        self.from.map_or(String::new(), |day| day.to_string())
    }

    /// The days in words.
    pub(super) fn told(&self) -> String {
        match self.from {
            Some(from) if from == self.to => format!("on {from}"),
            Some(from) => format!("from {from} to {}", self.to),
            None => format!("up to {}", self.to),
        }
    }

    /// Whether days are found again from all payments, which takes longer.
    pub(super) fn other_zone(&self) -> bool {
        self.zone.is_some()
    }

    /// The ledger's own zone, by name.
    pub(super) fn own_zone(&self) -> &str {
        &self.own_zone
    }

    /// The same days as the fields of a form.
    pub(super) fn fields(&self) -> &[(&'static str, String)] {
        &self.words
    }

    /// An address on this page with the same days, and more words.
    pub(super) fn address(&self, place: &str, more: &[(&str, &str)]) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.words {
            text.append_pair(name, value);
        }
        for (name, value) in more {
            text.append_pair(name, value);
        }
        format!("{place}?{}", text.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Range, String> {
        let now = Time::parse("2026-06-30T23:30:00Z").unwrap();
        let fields = Fields::read(query.as_bytes());
        Range::read(&fields, "30d", now, &Zone::utc()).map_err(|error| error.0)
    }

    fn ends(query: &str) -> (String, String) {
        let range = read(query).unwrap();
        (range.first(), range.to.to_string())
    }

    #[test]
    fn days_are_those_chosen() {
        let both = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(ends(""), both("2026-06-01", "2026-06-30"));
        assert_eq!(ends("range=7d"), both("2026-06-24", "2026-06-30"));
        assert_eq!(ends("range=all"), both("", "2026-06-30"));
        assert_eq!(
            ends("from=2026-05-02&to=2026-05"),
            both("2026-05-02", "2026-05-31")
        );
        // In Tokyo it is July already.
        assert_eq!(
            ends("range=7d&zone=Asia/Tokyo"),
            both("2026-06-25", "2026-07-01")
        );
        assert!(read("range=8d").unwrap_err().starts_with("range: "));
        assert!(read("zone=Mars").unwrap_err().starts_with("zone: "));
        assert!(read("from=2026-05-02&to=2026-05-01").is_err());
    }

    #[test]
    fn bars_are_days_or_months() {
        assert_eq!(read("range=90d").unwrap().days().unwrap().len(), 90);
        let year = read("range=365d").unwrap();
        assert!(year.days().is_none());
        assert_eq!(year.months(None).len(), 12);
        let all = read("range=all").unwrap();
        assert_eq!(all.months(Some(Month(202_601))).len(), 6);
        assert_eq!(all.months(None).len(), 1);
    }

    #[test]
    fn what_was_before_is_as_long() {
        let before = read("range=7d").unwrap().before().unwrap();
        assert_eq!(before.from.unwrap().to_string(), "2026-06-17");
        assert_eq!(before.to.unwrap().to_string(), "2026-06-23");
        assert!(read("range=all").unwrap().before().is_none());
    }

    #[test]
    fn addresses_keep_the_days() {
        let range = read("from=2026-05-02&to=2026-05-03&zone=Asia/Tokyo").unwrap();
        let address = range.address("/report", &[("by", "day")]);
        assert_eq!(
            address,
            "/report?range=own&from=2026-05-02&to=2026-05-03&zone=Asia%2FTokyo&by=day"
        );
    }
}
