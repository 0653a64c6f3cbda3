//! Resume tokens of watches: the versions that the caller has.
//!
//! A token is the fingerprint of everything that is watched and of the versions, then the versions in hexadecimal with points
//! between, empty for what was not sent yet.

use domain::Catalogue;

use crate::{page::Sealed, question::Question, refused::Refused};

/// The token of the versions that were sent, in the order of the questions.
pub(crate) fn token(catalogue: &Catalogue, questions: &[Question], versions: &[Option<i64>]) -> String {
    let versions: Vec<_> =
        versions.iter().map(|version| version.map(|version| format!("{version:x}")).unwrap_or_default()).collect();
    Sealed::seal(&as_texts(&names(catalogue, questions)), &versions.join("."))
}

/// The versions that the caller has; none of an empty token.
pub(crate) fn read(catalogue: &Catalogue, questions: &[Question], token: &str) -> Result<Vec<Option<i64>>, Refused> {
    if token.is_empty() {
        return Ok(vec![None; questions.len()]);
    }
    let refused = || {
        Refused::invalid(
            "RESUME_TOKEN_INVALID",
            "resume_token",
            "Mã tiếp tục không thuộc luồng theo dõi này; hãy theo dõi lại từ đầu, không có mã.".to_owned(),
            "this token was not given for what is watched here; begin without one".to_owned(),
        )
    };
    let text = Sealed::open(&as_texts(&names(catalogue, questions)), token).map_err(|_| refused())?;
    let versions = text.split('.').map(|version| match version {
        "" => Some(None),
        version => i64::from_str_radix(version, 16).ok().map(Some),
    });
    let versions: Option<Vec<_>> = versions.collect();
    versions.filter(|versions| versions.len() == questions.len()).ok_or_else(refused)
}

/// What is watched. A `latest` that is another by now is another watch.
fn names(catalogue: &Catalogue, questions: &[Question]) -> Vec<String> {
    let names = questions.iter().flat_map(|question| {
        [
            question.unit(catalogue).code.to_string(),
            question.data_set(catalogue).code().to_string(),
            question.period.to_string(),
        ]
    });
    names.collect()
}

fn as_texts(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny;

    #[test]
    fn a_token_is_for_one_watch() {
        let catalogue = tiny::catalogue();
        let of = |units: [&str; 2]| units.map(|unit| Question::read(&catalogue, tiny::asked(unit)).unwrap());
        let (questions, others) = (of(["VN", "01"]), of(["VN", "02"]));
        let versions = [Some(0x1f), None];
        let token = token(&catalogue, &questions, &versions);
        assert!(token.ends_with("1f."), "{token}");
        assert_eq!(read(&catalogue, &questions, &token), Ok(versions.to_vec()));
        assert_eq!(read(&catalogue, &others, ""), Ok(vec![None, None]));
        for (questions, token) in
            [(&others, token.clone()), (&questions, token.replace("1f", "1e")), (&questions, "x".into())]
        {
            let refused = read(&catalogue, questions, &token);
            assert!(matches!(refused, Err(Refused::Invalid { reason: "RESUME_TOKEN_INVALID", .. })), "{refused:?}");
        }
    }
}
