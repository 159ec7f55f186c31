//! The first person who may log in, as the environment describes them.

use serde_json::json;
use toktra_siem_config::FirstAdmin;
use toktra_siem_core::ids::UserId;
use toktra_siem_core::people::Role;
use toktra_siem_store::{Change, StoreError, UserOutcome, UserRecord};

use super::{Base, StartError};
use crate::environment::entry;

/// What the person is called until they choose a name.
const NAME: &str = "Admin";

/// Makes the person an admin of the default org where nobody has the address. Whoever has it stays as they are: a password that was
/// changed meanwhile must not come back with the next start.
pub(super) async fn make(base: &Base, admin: &FirstAdmin) -> Result<(), StartError> {
    let email = &admin.email;
    if base.store.user_by_email(email).await?.is_some() {
        tracing::info!(
            %email,
            "TOKTRA_SIEM_ADMIN_EMAIL names somebody who is there already; nothing was changed, the password neither. Both variables \
             can be removed"
        );
        return Ok(());
    }
    let hash = base.passwords.hash(admin.password.clone()).await;
    let password = hash.map_err(|busy| {
        StartError::Store(StoreError::Unavailable { context: "hashing the admin's password", source: busy.into() })
    })?;
    let now = base.clock.now();
    let user = UserRecord {
        id: UserId(base.random.uuid_v7(now)),
        org: base.default_org,
        email: email.clone(),
        name: NAME.to_owned(),
        role: Role::Admin,
        password,
        created_at: now,
        last_login_at: None,
    };
    let detail = json!({ "after": { "email": email, "name": NAME, "role": user.role } });
    let audit = entry(now, "user.create", &user.id, detail);
    match base.store.create_user(base.default_org, Change { value: user, audit }).await? {
        UserOutcome::Done => tracing::info!(
            %email,
            "an admin of the default org was made of TOKTRA_SIEM_ADMIN_EMAIL; its variables can be removed now"
        ),
        // Nobody else writes at a start.
        UserOutcome::EmailTaken | UserOutcome::LastAdmin | UserOutcome::Moved => {
            tracing::warn!(%email, "the admin of TOKTRA_SIEM_ADMIN_EMAIL was not made: the address is taken");
        }
    }
    Ok(())
}
