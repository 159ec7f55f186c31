//! How the page looks to one browser: light or dark, and in which zone times are shown. Kept in cookies, so that the server renders it right
//! at once.

use axum::response::Response;
use http::header::SET_COOKIE;

use super::answer::redirect;
use super::cookies::Cookie;
use super::form::Form;
use super::frame::Theme;
use super::login::local;
use super::visitor::Guest;

/// `POST /appearance`.
pub(super) async fn choose(guest: Guest, form: Form) -> Response {
    let mut response = redirect(&local(form.text("back")), guest.by_script);
    if guest.by_script {
        // The script has done it already; nothing has to be loaded again.
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        response.headers_mut().remove("hx-redirect");
    }
    let jar = guest.site.jar;
    let theme = form.has("theme").then(|| match Theme::read(form.filled("theme")) {
        Theme::System => jar.clear(Cookie::Theme),
        theme => jar.set(Cookie::Theme, theme.word()),
    });
    let zone = form
        .has("zone")
        .then(|| if form.text("zone") == "utc" { jar.set(Cookie::Zone, "utc") } else { jar.clear(Cookie::Zone) });
    for cookie in [theme, zone].into_iter().flatten().flatten() {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
