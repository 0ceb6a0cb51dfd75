//! The processors that the kernel did not boot on (`maxcpus=1`).

use std::path::Path;

use anyhow::{Context, Result};

/// A directory for each processor, with a file `online` where it can be switched (Documentation/core-api/cpu_hotplug.rst).
const PROCESSORS: &str = "/sys/devices/system/cpu";

/// Switches all of them on.
pub(super) fn switch_on() -> Result<()> {
    for entry in std::fs::read_dir(PROCESSORS).context(PROCESSORS)?.flatten() {
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix("cpu")) else { continue };
        if number.parse::<u32>().is_ok() {
            online(&entry.path().join("online"))?;
        }
    }
    Ok(())
}

/// The first processor may have no such file: it cannot be switched off.
fn online(switch: &Path) -> Result<()> {
    match std::fs::read_to_string(switch) {
        Ok(state) if state.trim() == "0" => {
            std::fs::write(switch, "1").with_context(|| format!("cannot write {}", switch.display()))
        }
        _ => Ok(()),
    }
}
