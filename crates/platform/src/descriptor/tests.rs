//! What a field keeps, whatever it is built with.

use super::*;

#[test]
fn a_secret_with_a_reader_of_its_own_stays_a_secret() {
    assert!(Field::secret("a", "A").read_secret(checks::password).is_secret());
    assert!(Field::secret_url("a", "A", checks::label).read(checks::label).is_secret());
    for field in [Field::secret("a", "A"), Field::headers("a", "A"), Field::flag("a", "A", true)] {
        let word = field.kind.word();
        assert!(std::panic::catch_unwind(|| field.read(checks::label)).is_err(), "{word}");
    }
}
