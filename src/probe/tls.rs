//! Asks what certificate a host presents. The figure is for how many days a client will go on accepting it: 0 when none does now, for whatever reason,
//! and every reason is said. Without a certificate, as when nobody answers or no TLS is spoken, nothing is known.

use std::time::Duration;

use jiff::Timestamp;

use super::{Scope, held};
use crate::clients::http::{Certificate, Http};
use crate::clock::between;
use crate::incident::evidence::{Evidence, Sample};
use crate::runbook::{DAY, Threshold, TlsProbe};
use crate::text::{cut, moment, span};

/// How long what is shown of it may be.
const LENGTH: usize = 300;

pub(super) async fn ask(
    http: &Http,
    scope: &Scope<'_>,
    name: &str,
    probe: &TlsProbe,
    threshold: Threshold,
) -> Evidence {
    let url = match probe.address.with(|path| scope.value_of(path)) {
        Ok(url) => url,
        Err(why) => return Evidence::unknown(name, String::new(), why.to_string()),
    };
    let server_name = match probe.server_name.as_ref().map(|template| scope.fill(template)).transpose() {
        Ok(server_name) => server_name,
        Err(why) => return Evidence::unknown(name, String::new(), why),
    };
    let host = url.trim_start_matches("https://").trim_end_matches('/');
    let asked = match &server_name {
        Some(server_name) => format!("the certificate of {host} for {server_name}"),
        None => format!("the certificate of {host}"),
    };
    match http.certificate(&url, server_name.as_deref(), scope.now).await {
        Ok(certificate) => answer(scope.now, (name, asked), probe, threshold, certificate),
        Err(error) => Evidence::unknown(name, asked, error.to_string()),
    }
}

fn answer(
    now: Timestamp,
    (name, asked): (&str, String),
    probe: &TlsProbe,
    threshold: Threshold,
    mut certificate: Certificate,
) -> Evidence {
    if let Some(issuer) = probe.issuer.as_ref().filter(|issuer| !issuer.is_match(&certificate.issuer)) {
        let wanted = issuer.as_str();
        certificate
            .faults
            .push(format!("its issuer is {}, and not one that matches {wanted}", certificate.issuer));
        certificate.good_until = None;
    }
    let (figure, saw) = match certificate.good_until {
        Some(until) => {
            let left = between(now, until);
            let chain = if until < certificate.not_after { ", when one of its chain ends" } else { "" };
            let saw = format!("valid until {}{chain}, for {}", moment(until), span(left));
            (left.as_secs_f64() / DAY.as_secs_f64(), saw)
        }
        None => (0.0, format!("not accepted: {}", certificate.faults.join("; "))),
    };
    let ended = certificate.ended.as_ref().map(|ended| format!(" ({ended})")).unwrap_or_default();
    let saw = format!("{saw}{ended}; {}", words(threshold));
    Evidence {
        samples: samples(now, &certificate),
        ..Evidence::found(name, asked, held(threshold, figure, None), saw)
    }
}

/// What it says of itself, as `curl -v` shows it. All of it is what the host sent.
fn samples(at: Timestamp, certificate: &Certificate) -> Vec<Sample> {
    let Certificate { subject, issuer, names, not_before, not_after, version, .. } = certificate;
    let left = match *not_after < at {
        true => format!("expired {} ago", span(between(*not_after, at))),
        false => format!("{} left", span(between(at, *not_after))),
    };
    let pairs = [
        ("subject", subject.clone()),
        ("issuer", issuer.clone()),
        ("valid", format!("from {} until {}, {left}", moment(*not_before), moment(*not_after))),
        ("names", names.join(", ")),
        ("spoke", version.unwrap_or("no TLS to its end").to_owned()),
    ];
    let sample = |(from, line): (&str, String)| Sample {
        is_state: true,
        at,
        from: from.to_owned(),
        line: cut(&line, LENGTH),
    };
    pairs.into_iter().map(sample).collect()
}

/// The threshold as it is written: in days.
pub(super) fn words(threshold: Threshold) -> String {
    let time = |days: f64| {
        let time = Duration::try_from_secs_f64(days * DAY.as_secs_f64()).unwrap_or_default();
        if time.is_zero() {
            "0s".to_owned()
        } else {
            span(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
        }
    };
    match threshold {
        Threshold::AtLeast(days) => format!("at least {}", time(days)),
        Threshold::AtMost(days) => format!("at most {}", time(days)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::after;
    use crate::incident::evidence::Verdict;
    use crate::runbook::UrlTemplate;

    fn asked(threshold: Threshold, issuer: Option<&str>, certificate: Certificate) -> Evidence {
        let probe = TlsProbe {
            address: UrlTemplate::parse("https://shop.example").unwrap(),
            server_name: None,
            issuer: issuer.map(|text| regex::Regex::new(&format!("^(?:{text})$")).unwrap()),
            threshold,
        };
        answer(now(), ("p", "the certificate of shop.example".to_owned()), &probe, threshold, certificate)
    }

    fn now() -> Timestamp {
        "2026-11-23T12:00:00Z".parse().unwrap()
    }

    fn good_for(left: Duration) -> Certificate {
        Certificate {
            subject: "CN=shop.example".to_owned(),
            issuer: "CN=Sure,O=Trust".to_owned(),
            names: vec!["shop.example".to_owned(), "www.shop.example".to_owned()],
            not_before: "2026-11-01T00:00:00Z".parse().unwrap(),
            not_after: after(now(), left),
            version: Some("TLS 1.3"),
            good_until: Some(after(now(), left)),
            faults: Vec::new(),
            ended: None,
        }
    }

    const FORTNIGHT: Threshold = Threshold::AtLeast(14.0);

    #[test]
    fn a_certificate_holds_for_as_long_as_it_is_good() {
        let (day, second) = (Duration::from_hours(24), Duration::from_secs(1));
        for (left, holds) in [(14 * day, true), (14 * day - second, false), (365 * day, true)] {
            let least = asked(FORTNIGHT, None, good_for(left));
            assert_eq!(least.verdict, if holds { Verdict::Holds } else { Verdict::Fails }, "{least:#?}");
        }
        let most = asked(Threshold::AtMost(14.0), None, good_for(13 * day));
        assert_eq!(most.verdict, Verdict::Holds);
        assert_eq!(most.saw, "valid until 2026-12-06 12:00 UTC, for 13d; at most 14d");
        let lines: Vec<String> =
            most.samples.iter().map(|one| format!("{}: {}", one.from, one.line)).collect();
        assert_eq!(
            lines,
            [
                "subject: CN=shop.example",
                "issuer: CN=Sure,O=Trust",
                "valid: from 2026-11-01 00:00 UTC until 2026-12-06 12:00 UTC, 13d left",
                "names: shop.example, www.shop.example",
                "spoke: TLS 1.3",
            ]
        );
        let of_its_chain = Certificate { not_after: after(now(), 90 * day), ..good_for(13 * day) };
        let saw = asked(FORTNIGHT, None, of_its_chain).saw;
        assert_eq!(
            saw,
            "valid until 2026-12-06 12:00 UTC, when one of its chain ends, for 13d; at least 14d"
        );
    }

    #[test]
    fn what_is_not_accepted_is_good_for_no_day_and_every_reason_is_said() {
        let faults = vec!["it is self-signed".to_owned(), "it is not for a, but for b".to_owned()];
        let bad = Certificate { good_until: None, faults, ..good_for(Duration::from_hours(2400)) };
        let evidence = asked(FORTNIGHT, None, bad.clone());
        assert_eq!(evidence.verdict, Verdict::Fails);
        assert_eq!(evidence.saw, "not accepted: it is self-signed; it is not for a, but for b; at least 14d");
        // Whoever asks whether something is wrong with it is told so.
        assert_eq!(asked(Threshold::AtMost(0.0), None, bad).verdict, Verdict::Holds);
        assert_eq!(
            asked(Threshold::AtMost(0.0), None, good_for(Duration::from_secs(60))).verdict,
            Verdict::Fails
        );
    }

    #[test]
    fn the_issuer_is_matched_as_a_whole() {
        let good = || good_for(Duration::from_hours(2400));
        assert_eq!(asked(FORTNIGHT, Some(".*O=Trust.*"), good()).verdict, Verdict::Holds);
        let other = asked(FORTNIGHT, Some("O=Trust"), good());
        assert_eq!(other.verdict, Verdict::Fails);
        assert!(
            other.saw.starts_with("not accepted: its issuer is CN=Sure,O=Trust, and not one that matches"),
            "{}",
            other.saw
        );
    }
}
