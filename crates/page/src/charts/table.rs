//! The numbers behind the charts.

use std::fmt::Write as _;

use super::{Bucket, Steps};
use crate::show::{self, Html};

/// Every step in which something happened, newest first, behind a line that opens it.
pub fn table(steps: &Steps) -> Html {
    let quiet = |bucket: &&Bucket| bucket.total() > 0 || bucket.lag > 0;
    let mut rows = String::new();
    for bucket in steps.buckets.iter().rev().filter(quiet) {
        let Bucket { at, delivered, failed, rejected, lag, p50_ms, p99_ms } = *bucket;
        let _ = write!(rows, "<tr><th scope=\"row\">{}</th>", show::time(at, &show::utc(at), true));
        let span = |ms: Option<u64>| ms.map_or_else(|| "–".to_owned(), show::millis);
        let counts = [delivered, failed, rejected].map(show::count);
        for cell in counts.into_iter().chain([span(p50_ms), span(p99_ms), show::count(lag)]) {
            let _ = write!(rows, "<td class=\"num\">{}</td>", show::escaped(&cell));
        }
        rows.push_str("</tr>");
    }
    if rows.is_empty() {
        return Html::default();
    }
    let heads = ["Delivered", "Failed", "Rejected", "p50", "p99", "Most waiting"];
    let heads: Vec<_> = heads.iter().map(|head| format!("<th scope=\"col\" class=\"num\">{head}</th>")).collect();
    let heads = heads.concat();
    Html::trusted(format!(
        "<details class=\"chart-table\"><summary>Show as a table</summary><p class=\"soft small\">Steps of {step} from the time that is named. \
         Those in which nothing happened are left out.</p><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"The charts as a table\">\
         <table><thead><tr><th scope=\"col\">From</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div></details>",
        step = show::span(steps.step),
    ))
}
