//! Journeys: the built program as a process, fake platforms beside it, and everything seen from the outside. A file for each subject.
#![cfg(test)]

mod certificates;
mod command_line;
mod datadog;
mod datadog_refusals;
mod events;
mod found;
mod jobs;
mod own_events;
mod replies;
mod signing;
mod splunk;
mod splunk_faults;
mod splunk_replies;
mod test_delivery;
mod webhook;
