//! What the browser tells, and what it is told: the address, times, the focus.

use js_sys::Date;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Document, Element, HtmlElement};

/// Where the notes are kept in step, as the link says that somebody was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Invitation {
    pub(crate) server: String,
    pub(crate) token: String,
}

/// Reads `#server=…&token=…` off the address and takes it away from there: a token is not to be seen, nor to be in the history.
pub(crate) fn invitation() -> Invitation {
    let Some(window) = web_sys::window() else { return Invitation::default() };
    let fragment = window.location().hash().unwrap_or_default();
    let invitation = parts(fragment.trim_start_matches('#'));
    if let (false, Ok(history)) = (fragment.is_empty(), window.history()) {
        let path = window.location().pathname().unwrap_or_default();
        // Where that is refused the address stays as it is.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&path));
    }
    invitation
}

fn parts(fragment: &str) -> Invitation {
    let mut invitation = Invitation::default();
    for part in fragment.split('&') {
        match part.split_once('=') {
            Some(("server", server)) => invitation.server = decoded(server),
            Some(("token", token)) => invitation.token = decoded(token),
            _ => {}
        }
    }
    invitation
}

/// A token, or that of a whole link that somebody has typed in its place.
pub(crate) fn token(typed: &str) -> String {
    let typed = typed.trim();
    let of_link = typed.split_once('#').map(|(_, fragment)| parts(fragment).token);
    of_link.unwrap_or_else(|| typed.to_owned())
}

fn decoded(text: &str) -> String {
    js_sys::decode_uri_component(text).map_or_else(|_| text.to_owned(), String::from)
}

/// What people would call this device, until they say it better: `Chrome on Linux`.
pub(crate) fn device_name() -> String {
    let agent = web_sys::window().and_then(|it| it.navigator().user_agent().ok());
    let agent = agent.unwrap_or_default();
    // The first that is in it: most browsers name others, too.
    let named = |known: &[(&str, &'static str)], other| {
        known.iter().find(|(part, _)| agent.contains(part)).map_or(other, |(_, name)| *name)
    };
    let browsers =
        [("Firefox", "Firefox"), ("Edg/", "Edge"), ("Chrome", "Chrome"), ("Safari", "Safari")];
    let systems = [
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Mac OS", "Mac"),
        ("Windows", "Windows"),
        ("Linux", "Linux"),
    ];
    format!("{} on {}", named(&browsers, "Browser"), named(&systems, "this computer"))
}

/// Milliseconds since 1970.
pub(crate) fn now() -> f64 {
    Date::now()
}

/// The time of day: `14:03`.
pub(crate) fn clock(millis: f64) -> String {
    let date = Date::new(&JsValue::from_f64(millis));
    format!("{:02}:{:02}", date.get_hours(), date.get_minutes())
}

/// The day: `30 Nov`.
pub(crate) fn day(millis: f64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let date = Date::new(&JsValue::from_f64(millis));
    let month = MONTHS.get(date.get_month() as usize).copied().unwrap_or_default();
    format!("{} {month}", date.get_date())
}

/// Whether two moments are of one day.
pub(crate) fn same_day(one: f64, other: f64) -> bool {
    let text = |millis| Date::new(&JsValue::from_f64(millis)).to_date_string();
    text(one) == text(other)
}

fn document() -> Option<Document> {
    web_sys::window()?.document()
}

/// The element with this id.
pub(crate) fn element(id: &str) -> Option<HtmlElement> {
    document()?.get_element_by_id(id)?.dyn_into().ok()
}

/// The keys go to the element with this id from now on.
pub(crate) fn focus(id: &str) {
    if let Some(element) = element(id) {
        focus_on(&element);
    }
}

/// The keys go to this element from now on.
pub(crate) fn focus_on(element: &HtmlElement) {
    // What cannot have the focus is left alone.
    let _ = element.focus();
}

/// What the keys go to.
pub(crate) fn focused() -> Option<Element> {
    document()?.active_element()
}

/// Calls back whenever the page is hidden or left, which may be its end.
pub(crate) fn when_left(call: impl Fn() + 'static) {
    let Some(window) = web_sys::window() else { return };
    let left = Closure::<dyn Fn()>::new(call);
    // Of a document, they come by at its window too.
    for event in ["visibilitychange", "pagehide"] {
        let function = left.as_ref().unchecked_ref();
        // There is no event by which the page would have to be told otherwise.
        let _ = window.add_event_listener_with_callback(event, function);
    }
    // For as long as the page lives.
    left.forget();
}

/// Without this the console says of a panic that something unreachable was reached.
pub(crate) fn print_panics() {
    std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&info.to_string().into())));
}
