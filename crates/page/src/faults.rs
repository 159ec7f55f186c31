//! What is wrong with a form that was sent: one sentence on top, the rest beside the fields.

use toktra_siem_app::Refusal;

use super::error::{of_field, sentence};

/// Why the API refused what a form asked for; nothing where the form is new.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Refusal>);

impl From<Refusal> for Faults {
    fn from(refusal: Refusal) -> Self {
        Self(Some(refusal))
    }
}

impl Faults {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What stands beside the field of the member at `pointer`.
    pub fn of(&self, pointer: &str) -> Option<String> {
        of_field(self.0.as_ref()?, pointer)
    }

    /// What stands on top of a form with fields for the members at `fields`; `undone` says that nothing has happened yet. A fault
    /// without a field of its own is told here.
    pub fn summary(&self, undone: &str, fields: &[&str]) -> Option<String> {
        let refusal = self.0.as_ref()?;
        if refusal.fields.is_empty() {
            return Some(sentence(&refusal.message));
        }
        let mut text = undone.to_owned();
        let (beside, homeless): (Vec<_>, Vec<_>) =
            refusal.fields.iter().partition(|fault| fields.contains(&fault.pointer.as_str()));
        if !beside.is_empty() {
            text.push_str(" Correct what is marked below.");
        }
        for fault in homeless {
            text.push(' ');
            text.push_str(&fault.message);
            text.push('.');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use toktra_siem_app::Code;

    use super::*;

    fn faults(fields: &str) -> Faults {
        let mut refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, "the session is over");
        refusal.problem.fields = serde_json::from_str(fields).unwrap();
        refusal.into()
    }

    #[test]
    fn no_fault_is_swallowed() {
        let summary = |fields: &str| faults(fields).summary("Nothing was saved.", &["/name"]).unwrap();
        assert_eq!(summary("[]"), "The session is over.");
        let (name, role) = (
            r#"{"pointer":"/name","code":"missing","message":"name: is missing"}"#,
            r#"{"pointer":"/role","message":"role: is missing"}"#,
        );
        assert_eq!(summary(&format!("[{name}]")), "Nothing was saved. Correct what is marked below.");
        assert_eq!(summary(&format!("[{role}]")), "Nothing was saved. role: is missing.");
        assert_eq!(
            summary(&format!("[{name},{role}]")),
            "Nothing was saved. Correct what is marked below. role: is missing."
        );
        assert_eq!(faults(&format!("[{name}]")).of("/name").as_deref(), Some("Enter a name."));
        assert!(Faults::default().is_empty() && Faults::default().summary("x", &[]).is_none());
    }
}
