//! Resume tokens of watches: the versions that the caller has.
//!
//! A token is the fingerprint of everything that is watched and of what follows: eight digits for the catalogue, a tilde, and the versions
//! in hexadecimal with points between, empty for what was not sent yet.

use domain::{Catalogue, ContentDigest};

use crate::{page::Sealed, question::Question, refused::Refused};

/// The token of the versions that were sent, in the order of the questions.
pub(crate) fn token(catalogue: &Catalogue, questions: &[Question], versions: &[Option<i64>]) -> String {
    let versions: Vec<_> =
        versions.iter().map(|version| version.map(|version| format!("{version:x}")).unwrap_or_default()).collect();
    let text = format!("{}~{}", told_by(catalogue), versions.join("."));
    Sealed::seal(&as_texts(&names(catalogue, questions)), &text)
}

/// The versions that the caller has; none of an empty token, and none that counts where another catalogue told them.
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
    let Some((_, versions)) = text.split_once('~').filter(|(by, _)| *by == told_by(catalogue)) else {
        return Ok(vec![None; questions.len()]);
    };
    let versions = versions.split('.').map(|version| match version {
        "" => Some(None),
        version => i64::from_str_radix(version, 16).ok().map(Some),
    });
    let versions: Option<Vec<_>> = versions.collect();
    versions.filter(|versions| versions.len() == questions.len()).ok_or_else(refused)
}

/// By which catalogue the totals were told. Another expects other units and sets other targets, and no version of a total moves for it.
fn told_by(catalogue: &Catalogue) -> String {
    let ContentDigest([a, b, c, d, ..]) = ContentDigest::of_bytes(catalogue.version().as_str().as_bytes());
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
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
        let of_another = Sealed::seal(&as_texts(&names(&catalogue, &questions)), "00000000~1f.");
        assert_eq!(read(&catalogue, &questions, &of_another), Ok(vec![None, None]), "all is told anew");
        for (questions, token) in
            [(&others, token.clone()), (&questions, token.replace("1f", "1e")), (&questions, "x".into())]
        {
            let refused = read(&catalogue, questions, &token);
            assert!(matches!(refused, Err(Refused::Invalid { reason: "RESUME_TOKEN_INVALID", .. })), "{refused:?}");
        }
    }
}
