//! The ports to the host: virtio consoles, found by their names.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Where the kernel lists them.
const PORTS: &str = "/sys/class/virtio-ports";
/// Looks until one is there, at 10 ms each: devices show up some time after their driver.
const LOOKS: u32 = 3000;

/// Opens the port that the host gave a name.
pub(super) fn open(name: &str) -> Result<File> {
    for _ in 0..LOOKS {
        if let Some(device) = find(name) {
            let path = Path::new("/dev").join(&device);
            match File::options().read(true).write(true).open(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                opened => return opened.with_context(|| format!("cannot open {}", path.display())),
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    bail!("there is no port {name}")
}

fn find(name: &str) -> Option<String> {
    let ports = std::fs::read_dir(PORTS).ok()?.flatten();
    let mut named = ports.filter(|port| {
        std::fs::read_to_string(port.path().join("name")).is_ok_and(|found| found.trim_end() == name)
    });
    named.next()?.file_name().into_string().ok()
}
