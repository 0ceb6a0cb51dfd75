//! `cairnctl bgp history`.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use bgpd_api::Client;
use bgpd_api::peer::HistoryEvent;

use crate::Error;
use crate::output::Output;
use crate::table::{Table, age};

pub(super) async fn print(client: &mut Client, address: IpAddr, output: &mut Output) -> Result<(), Error> {
    let events = client.list_peer_events(address).await?;
    if output.is_json() {
        return events.iter().try_for_each(|event| output.json(event));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut table = Table::new(&["TIME (UTC)", "AGO", "EVENT", "TIMES", "TEXT"]);
    for event in &events {
        table.row(row(event, now));
    }
    table.print(output)
}

fn row(event: &HistoryEvent, now: Duration) -> Vec<String> {
    vec![
        time(event.last_time),
        age(now.saturating_sub(event.last_time)),
        event.kind.to_string(),
        event.count.to_string(),
        event.text.clone(),
    ]
}

/// A time since 1970 as `2026-03-01 12:34:56.789`.
fn time(since: Duration) -> String {
    let (days, seconds) = (since.as_secs() / 86400, since.as_secs() % 86400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:03}", since.subsec_millis())
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn date(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        // As `date -u -d @N` says.
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400, "2000-02-29 00:00:00.000"),
            (1_709_251_199, "2024-02-29 23:59:59.000"),
            (4_107_542_400, "2100-03-01 00:00:00.000"),
        ] {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
        assert_eq!(time(Duration::from_millis(1_709_251_200_007)), "2024-03-01 00:00:00.007");
    }
}
