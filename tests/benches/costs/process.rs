//! Processes, as the kernel accounts for them.

use std::{fs, path::Path};

use crate::Result;

/// CPU time of all threads of these processes, in milliseconds.
pub(crate) fn cpu_ms(pids: &[u64]) -> Result<f64> {
    let mut nanoseconds = 0;
    for pid in pids {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // /proc/<pid>/stat counts in ticks as long as a whole invocation; this counts nanoseconds.
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = text.split(' ').next().unwrap_or_default();
            nanoseconds += on_cpu.parse::<u64>()?;
        }
    }
    Ok(nanoseconds as f64 / 1e6)
}

/// The peak memory of the largest of these processes, in MiB.
pub(crate) fn peak_mib(pids: &[u64]) -> Result<f64> {
    let mut peak: f64 = 0.0;
    for pid in pids {
        let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib = kib.ok_or("the kernel does not report peak memory")?;
        peak = peak.max(kib.parse::<f64>()? / 1024.0);
    }
    Ok(peak)
}
