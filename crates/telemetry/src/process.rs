//! What the kernel says of this process, under the names that every Prometheus client uses. Linux only; elsewhere they are absent.

use std::fs;

use toktra_siem_core::time::Timestamp;

use super::page::Page;

/// Parts of a second in which `/proc` gives processor time. Linux has it at 100 on every architecture that this is built for.
const TICKS: f64 = 100.0;

/// Writes the figures that can be had.
pub(super) fn write(page: &mut Page, started_at: Timestamp) {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
    let started = started_at.0 as f64 / 1000.0;
    page.gauge("process_start_time_seconds", "When the process was started, since 1970.").value(started);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |key: &str| number(&status, key).map(|kib| kib * 1024);
    if let Some(bytes) = kib("VmRSS:") {
        page.gauge("process_resident_memory_bytes", "Memory that the process has in use.").value(bytes);
    }
    if let Some(bytes) = kib("VmSize:") {
        page.gauge("process_virtual_memory_bytes", "Address space of the process.").value(bytes);
    }
    if let Some(threads) = number(&status, "Threads:") {
        page.gauge("process_threads", "Threads of the process.").value(threads);
    }
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)) {
        page.counter("process_cpu_seconds_total", "Processor time that the process has used.").value(seconds);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The directory that is being read is one of them.
        page.gauge("process_open_fds", "Open file descriptors.").value(open.count().saturating_sub(1));
    }
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    if let Some(most) = number(&limits, "Max open files") {
        page.gauge("process_max_fds", "Open file descriptors that the process may have.").value(most);
    }
}

/// The first number after `key` in its line.
fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The 14th and 15th field, counted from behind the name, which may hold spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((f64::from(user) + f64::from(system)) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "1 (a ) b) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("1 (a"), None);
    }

    #[test]
    fn a_figure_is_the_first_number_of_its_line() {
        let text = "VmSize:\t  900 kB\nMax open files            1024                 4096                 files\n";
        assert_eq!((number(text, "VmSize:"), number(text, "Max open files")), (Some(900), Some(1024)));
        assert_eq!(number("Max open files  unlimited", "Max open files"), None);
    }
}
