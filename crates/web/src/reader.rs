//! Who reads a page, and how: known while a request is answered, so that every page, also one about a failure,
//! leaves out what its reader may not do.

use axum::http::HeaderMap;
use axum::http::header::{self, COOKIE};
use tidegate_engine::service::Visitor;
use tokio::task_local;

/// The cookie of the theme.
const THEME: &str = "tidegate_theme";
/// The cookie of how times are shown.
const TIMES: &str = "tidegate_times";
/// How long both last: a year.
const SECONDS: u32 = 365 * 86_400;

task_local! {
    static READER: Reader;
}

/// Who reads a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    /// Who signed in; `None` if the page is for anyone.
    pub(crate) visitor: Option<Visitor>,
    pub(crate) theme: Theme,
    /// Whether times are shown exactly, instead of how long ago they were.
    pub(crate) exact_times: bool,
    /// The page of this server that led here.
    pub(crate) came_from: Option<String>,
    /// Whether nothing but this page is answered.
    pub(crate) is_outside: bool,
}

impl Reader {
    /// Returns what the headers of a request say.
    pub(crate) fn of(headers: &HeaderMap) -> Reader {
        Reader {
            theme: cookie(headers, THEME).and_then(Theme::named).unwrap_or_default(),
            exact_times: cookie(headers, TIMES) == Some(EXACT),
            came_from: came_from(headers),
            ..Reader::default()
        }
    }

    /// Answers a request of this reader.
    pub(crate) async fn reads<F: Future>(self, answer: F) -> F::Output {
        READER.scope(self, answer).await
    }

    /// Makes an answer for this reader.
    pub(crate) fn sees<T>(self, answer: impl FnOnce() -> T) -> T {
        READER.sync_scope(self, answer)
    }

    /// Returns whether the reader of this request wants to see exact times.
    pub(crate) fn sees_exact_times() -> bool {
        READER.try_with(|reader| reader.exact_times).unwrap_or_default()
    }

    /// Returns the reader of the request that is being answered.
    pub(crate) fn current() -> Reader {
        READER.try_with(Reader::clone).unwrap_or_default()
    }
}

/// The colors of the pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Theme {
    /// Those of the system.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// Every theme, in the order of the switch.
    pub(crate) const ALL: [Theme; 3] = [Theme::System, Theme::Light, Theme::Dark];

    /// Returns the word in forms and in the cookie.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Theme::System => "system",
            Theme::Light => "light",
            Theme::Dark => "dark",
        }
    }

    /// Returns the value of `color-scheme` in HTML and CSS.
    pub(crate) fn color_scheme(self) -> &'static str {
        match self {
            Theme::System => "light dark",
            theme => theme.as_str(),
        }
    }

    /// Returns the theme of a word.
    pub(crate) fn named(word: &str) -> Option<Theme> {
        Theme::ALL.into_iter().find(|theme| theme.as_str() == word)
    }

    /// Returns the `Set-Cookie` that keeps it.
    pub(crate) fn cookie(self) -> String {
        kept(THEME, self.as_str())
    }
}

/// The word of exact times, in the form and in the cookie.
const EXACT: &str = "exact";

/// Returns the `Set-Cookie` that keeps how times are shown; any word but `exact` means how long ago.
pub(crate) fn cookie_of_times(word: &str) -> String {
    kept(TIMES, if word == EXACT { EXACT } else { "relative" })
}

fn kept(name: &str, word: &str) -> String {
    format!("{name}={word}; Path=/; HttpOnly; SameSite=Lax; Max-Age={SECONDS}")
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, word)| word.trim())
}

/// Returns the path of the page that led to a request, if it is one of this server.
fn came_from(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (_, rest) = text(header::REFERER)?.split_once("://")?;
    let path = rest.strip_prefix(text(header::HOST)?)?;
    let is_path = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    is_path.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(pairs: &[(&'static str, &str)]) -> Reader {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().expect("a header"));
        }
        Reader::of(&headers)
    }

    #[test]
    fn the_theme_is_in_a_cookie_and_any_other_word_is_the_systems() {
        assert_eq!(reader(&[("cookie", "a=b; tidegate_theme=dark")]).theme, Theme::Dark);
        for cookie in ["tidegate_theme=pink", "x=dark", "tidegate_theme"] {
            assert_eq!(reader(&[("cookie", cookie)]).theme, Theme::System, "{cookie}");
        }
        assert!(reader(&[("cookie", "tidegate_times=exact")]).exact_times);
        assert!(cookie_of_times("x\r\ny").starts_with("tidegate_times=relative; "));
        assert!(Theme::Light.cookie().starts_with("tidegate_theme=light; Path=/; HttpOnly; SameSite=Lax"));
    }

    #[test]
    fn the_way_back_never_leads_to_another_site() {
        let from = |referer: &str| reader(&[("host", "localhost:8080"), ("referer", referer)]).came_from;
        assert_eq!(from("http://localhost:8080/syncs/a?done=reset").as_deref(), Some("/syncs/a?done=reset"));
        for foreign in [
            "https://evil.example/",
            "http://localhost:8080.evil.example/",
            "http://localhost:8080//evil.example",
            "http://localhost:8080/\\evil.example",
            "localhost:8080/",
        ] {
            assert_eq!(from(foreign), None, "{foreign}");
        }
    }
}
