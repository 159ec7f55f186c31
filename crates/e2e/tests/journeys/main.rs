//! Journeys: the built program as a process, fake platforms beside it, and everything seen from the outside. A file for each subject.

#[cfg(test)]
mod command_line;
#[cfg(test)]
mod datadog;
#[cfg(test)]
mod datadog_refusals;
#[cfg(test)]
mod events;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod own_events;
#[cfg(test)]
mod replies;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod splunk;
#[cfg(test)]
mod splunk_faults;
#[cfg(test)]
mod splunk_replies;
#[cfg(test)]
mod test_delivery;
