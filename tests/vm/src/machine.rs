//! The machine: QEMU's command line, and the initial RAM disk.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::accelerator::{Accelerator, counter_khz};
use crate::archive::Archive;
use crate::job::{self, Job};
use crate::kernel::Kernel;

/// The program, of Debian's package qemu-system-x86.
const QEMU: &str = "qemu-system-x86_64";

/// Directories that the guest's PID 1 begins with.
const DIRECTORIES: [&str; 8] = ["/dev", "/early", "/host", "/memory", "/proc", "/root", "/run", "/sys"];

/// What the kernel is told. Nothing that only slows a machine down which lives for a minute; a panic ends it. It boots on one
/// processor, and PID 1 switches the others on: a booting kernel rewrites its own code by breakpoints, and QEMU before 8.1 could
/// translate an instruction just before it was rewritten for another processor, which then ran into a breakpoint that was gone.
const KERNEL_OPTIONS: &str = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr cryptomgr.notests=1 \
     random.trust_cpu=on audit=0 no_timer_check nosoftlockup maxcpus=1";

/// A machine that is to be started.
pub(crate) struct Machine {
    pub(crate) kernel: Kernel,
    /// Unit: MiB.
    pub(crate) memory: u32,
    pub(crate) processors: u32,
    /// It is ended after this time.
    pub(crate) limit: Duration,
    /// Whether the kernel's log is printed even when all went well.
    pub(crate) log: bool,
}

/// Where the host's end of each of the guest's ports is, and the kernel's log.
pub(crate) struct Places {
    pub(crate) directory: PathBuf,
}

impl Places {
    /// The socket of a port.
    pub(crate) fn port(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What the kernel, and PID 1 in distress, print.
    pub(crate) fn log(&self) -> PathBuf {
        self.directory.join("kernel.log")
    }

    /// Removes the initial RAM disk, which a machine that is up needs no more: all that is large, should we be killed.
    pub(crate) fn forget_initial(&self) {
        // What is still there goes with the directory.
        let _ = std::fs::remove_file(self.initial());
    }

    fn initial(&self) -> PathBuf {
        self.directory.join("initrd")
    }
}

impl Machine {
    /// Writes the initial RAM disk: this program, the early modules and the job.
    pub(crate) fn write_initial(&self, job: &Job, places: &Places) -> Result<()> {
        let path = places.initial();
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut archive = Archive::new(BufWriter::new(file));
        for directory in DIRECTORIES {
            archive.directory(directory)?;
        }
        archive.file("/init", &std::fs::read("/proc/self/exe").context("cannot read this program")?)?;
        for module in self.kernel.early_modules()? {
            let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
            archive.file(&format!("/early/{name}"), &std::fs::read(&module)?)?;
        }
        archive.file(job::PATH, &serde_json::to_vec(job)?)?;
        archive.finish()?.flush()?;
        Ok(())
    }

    /// QEMU, ready to start.
    pub(crate) fn command(&self, job: &Job, accelerator: Accelerator, places: &Places) -> Command {
        // Whatever ends us, also what cannot be caught, ends the machine.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", QEMU]);
        command.args(["-machine", "q35,usb=off,vmport=off,smbus=off,sata=off"]);
        command.args(accelerator.options());
        command.args(["-smp", &self.processors.to_string(), "-m", &self.memory.to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command.arg("-kernel").arg(self.kernel.image());
        command.arg("-initrd").arg(places.initial());
        let khz = counter_khz().filter(|_| accelerator == Accelerator::Tcg);
        let khz = khz.map_or_else(String::new, |khz| format!(" tsc_early_khz={khz}"));
        command.args(["-append", &format!("{KERNEL_OPTIONS}{}{khz}", accelerator.kernel_options())]);
        command.arg("-chardev").arg(option("file,id=log", "path", &places.log()));
        command.args(["-serial", "chardev:log", "-device", "virtio-serial-pci", "-device", "virtio-rng-pci"]);
        for port in [job::OUTPUT, job::ERRORS, job::REPORTS] {
            command.arg("-chardev").arg(option(&format!("socket,id={port}"), "path", &places.port(port)));
            command.args(["-device", &format!("virtserialport,chardev={port},name={port}")]);
        }
        export(&mut command, job::ROOT, Path::new("/"), true);
        for (index, path) in job.shares.iter().enumerate() {
            export(&mut command, &job::share(index), path, false);
        }
        command
    }
}

/// Lets the guest mount a directory of the host, with whatever is mounted below it.
fn export(command: &mut Command, tag: &str, path: &Path, read_only: bool) {
    let read_only = if read_only { ",readonly=on" } else { "" };
    let settings = format!("local,id={tag},security_model=none,multidevs=remap{read_only}");
    command.arg("-fsdev").arg(option(&settings, "path", path));
    command.args(["-device", &format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}")]);
}

/// `settings,name=path`; QEMU wants a comma in a value doubled.
fn option(settings: &str, name: &str, path: &Path) -> OsString {
    let path = path.to_string_lossy().replace(',', ",,");
    format!("{settings},{name}={path}").into()
}
