//! BFD settings of neighbours and peer groups.

use std::time::Duration;

use super::Check;
use crate::config::{Bfd, BfdAuthentication, Secret};

impl Check<'_> {
    pub(super) fn bfd(&mut self, path: &str, bfd: &Bfd) {
        let at = |field: &str| format!("{path}.{field}");
        self.millis(at("minTxInterval"), bfd.min_tx_interval);
        self.millis(at("minRxInterval"), bfd.min_rx_interval);
        if bfd.multiplier == Some(0) {
            self.fault(at("multiplier"), 0, "must be 1 to 255");
        }
        if bfd.min_ttl == Some(0) {
            self.fault(at("minTtl"), 0, "must be 1 to 255");
        }
        if let Some(authentication) = &bfd.authentication {
            self.bfd_authentication(&at("authentication"), authentication);
        }
    }

    fn millis(&mut self, path: String, value: Option<Duration>) {
        let (low, high) = (50, 60_000);
        if let Some(value) =
            value.map(|value| value.as_millis()).filter(|value| !(low..=high).contains(value))
        {
            self.fault(path, value, format!("must be {low} to {high} milliseconds"));
        }
    }

    fn bfd_authentication(&mut self, path: &str, authentication: &BfdAuthentication) {
        let max = authentication.kind.max_secret();
        match (&authentication.password, &authentication.password_file) {
            (Some(_), Some(_)) => self.fault(format!("{path}.passwordFile"), "", "excludes password"),
            (None, None) => self.fault(format!("{path}.password"), "", "is required, or passwordFile"),
            (Some(password), None) if password.expose() == Secret::HIDDEN => self.fault(
                format!("{path}.password"),
                "",
                "is the mark that stands for a hidden password, not a password",
            ),
            (Some(password), None) if !(1..=max).contains(&password.expose().len()) => {
                let len = format!("{} bytes", password.expose().len());
                self.fault(
                    format!("{path}.password"),
                    len,
                    format!("has 1 to {max} bytes with this type (RFC 5880 section 6.7)"),
                );
            }
            _ => {}
        }
    }
}
