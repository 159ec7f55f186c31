//! The first person who may log in, as the environment describes them.

use serde_json::json;
use toktra_siem_config::FirstAdmin;
use toktra_siem_core::ids::UserId;
use toktra_siem_core::people::Role;
use toktra_siem_store::{Change, Milestone, StoreError, UserOutcome, UserRecord};

use super::{Base, StartError};
use crate::environment::entry;

/// What the person is called until they choose a name.
const NAME: &str = "Admin";

/// Makes the person an admin of the default org, once in the life of the data directory: whoever renames or removes them, or changes their
/// password, must not find them back after the next start. It is recorded in the database, and so it is in backups.
pub(super) async fn make(base: &Base, admin: &FirstAdmin) -> Result<(), StartError> {
    let email = &admin.email;
    let made = base.store.milestone(Milestone::EnvironmentAdmin).await?;
    let holder = base.store.user_by_email(email).await?;
    match (made, holder) {
        (_, Some(user)) if user.org == base.default_org => {
            tracing::info!(
                %email,
                "TOKTRA_SIEM_ADMIN_EMAIL names somebody who has an account. Nothing was changed, the password neither; remove \
                 TOKTRA_SIEM_ADMIN_EMAIL and TOKTRA_SIEM_ADMIN_PASSWORD"
            );
            return Ok(reached(base).await?);
        }
        (Some(at), _) => {
            tracing::warn!(
                %email,
                made_at = %at,
                "TOKTRA_SIEM_ADMIN_EMAIL was not used: an admin was made from it before, which happens once for a data directory, also where \
                 that admin was renamed or deleted. Add people on the page or with `toktra-siem user create`, and remove \
                 TOKTRA_SIEM_ADMIN_EMAIL and TOKTRA_SIEM_ADMIN_PASSWORD"
            );
            return Ok(());
        }
        (None, Some(_)) => {
            tracing::warn!(
                %email,
                "TOKTRA_SIEM_ADMIN_EMAIL was not used: somebody of another org has this address. Choose another address"
            );
            return Ok(());
        }
        (None, None) => {}
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
            "an admin of the default org was made from TOKTRA_SIEM_ADMIN_EMAIL. This happens once; remove TOKTRA_SIEM_ADMIN_EMAIL and \
             TOKTRA_SIEM_ADMIN_PASSWORD now"
        ),
        // Nobody else writes at a start.
        UserOutcome::EmailTaken | UserOutcome::LastAdmin | UserOutcome::Moved => {
            tracing::warn!(%email, "the admin of TOKTRA_SIEM_ADMIN_EMAIL was not made: the address is taken");
            return Ok(());
        }
    }
    Ok(reached(base).await?)
}

/// Nobody is made from the environment any more.
async fn reached(base: &Base) -> Result<(), StoreError> {
    base.store.reach(Milestone::EnvironmentAdmin, base.clock.now()).await
}
