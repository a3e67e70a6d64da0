//! AWS Certificate Manager: what it says of a certificate and of its renewal. Only `List` and `Describe`: a certificate is never requested, renewed or deleted here.

mod certificate;
#[cfg(test)]
mod tests;
mod which;

use std::sync::Arc;

use aws_sdk_acm::Client;
use aws_sdk_acm::config::{Config, Region};
use aws_sdk_acm::types::{Filters, KeyAlgorithm};

pub use certificate::{AMAZON_ISSUED, Certificate, ISSUED, Record, Renewal, SUCCESS, Validation};
pub use which::{Unclear, Which, covers};

use super::aws::{Aws, Failure, Service, boxed, failed};
use super::{CallError, Questions, Reason};
use certificate::certificate;
use which::choose;

/// How many certificates a page has.
const PER_PAGE: i32 = 100;
/// An account has at most 5,000 certificates, unless AWS allows it more.
const PAGES: usize = 60;
/// More certificates for one name are none that anybody means.
const MOST_FOR_A_NAME: usize = 20;
/// How many questions may be under way at once. AWS allows ten descriptions a second.
const AT_ONCE: usize = 2;

/// The certificates of an account in one region.
#[derive(Clone)]
pub struct Acm(Arc<Inner>);

struct Inner {
    aws: Aws,
    client: Client,
    answers: Questions<Answer>,
}

/// What was asked.
#[derive(Debug, Clone)]
enum Answer {
    List(Arc<Vec<Listed>>),
    One(Arc<Certificate>),
}

/// A certificate in the list, which says less.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    arn: String,
    names: Vec<String>,
    /// It has more names than the list shows.
    has_more: bool,
}

impl std::fmt::Debug for Acm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acm").field("aws", &self.0.aws).finish_non_exhaustive()
    }
}

impl Acm {
    /// Nothing is sent.
    #[must_use]
    pub fn new(aws: &Aws) -> Self {
        let client = Client::new(&aws.sdk(Service::Acm));
        Self(Arc::new(Inner { aws: aws.clone(), client, answers: Questions::new(AT_ONCE) }))
    }

    /// The certificate that is meant, when it can be told which one that is.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering; `NotFound` when there is none.
    pub async fn certificate(&self, which: &Which) -> Result<Result<Certificate, Unclear>, CallError> {
        match which {
            Which::Arn { arn, .. } => {
                let certificate = self.describe(arn, which.region()).await?;
                Ok(Ok(Certificate::clone(&certificate)))
            }
            Which::Domain(domain) => {
                let all = self.of_domain(domain).await?;
                if all.is_empty() {
                    let call = format!("find the certificate for {domain}");
                    let message = format!("ACM has none for it in {}", self.0.aws.region());
                    return Err(CallError::new(&call, Reason::NotFound, &message));
                }
                Ok(choose(domain, all))
            }
        }
    }

    /// Every certificate that is for a name: it is its domain, one of its other names, or one that a `*` of it stands for.
    ///
    /// # Errors
    /// Whatever keeps AWS from answering.
    pub async fn of_domain(&self, domain: &str) -> Result<Vec<Certificate>, CallError> {
        let list = self.list().await?;
        let may_be = |one: &&Listed| one.has_more || one.names.iter().any(|name| covers(name, domain));
        let listed: Vec<&Listed> = list.iter().filter(may_be).collect();
        if listed.len() > MOST_FOR_A_NAME {
            let message = format!("{} certificates may be for it; name one by its ARN", listed.len());
            return Err(CallError::unsent(&format!("find the certificate for {domain}"), &message));
        }
        let mut all = Vec::with_capacity(listed.len());
        for one in listed {
            match self.describe(&one.arn, None).await {
                Ok(certificate) if certificate.is_for(domain) => all.push(Certificate::clone(&certificate)),
                Ok(_) => {}
                // Deleted since it was listed.
                Err(error) if error.reason == Reason::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    async fn describe(&self, arn: &str, region: Option<&str>) -> Result<Arc<Certificate>, CallError> {
        let call = format!("describe the certificate {arn}");
        let question = || async {
            let request = self.0.client.describe_certificate().certificate_arn(arn).customize();
            let region = region.map(|region| Config::builder().region(Region::new(region.to_owned())));
            let request = match region {
                Some(region) => request.config_override(region),
                None => request,
            };
            let answer = boxed(request.send())
                .await
                .map_err(|error| failed(&call, "acm:DescribeCertificate", error))?;
            let unreadable = |what: String| Failure::from(CallError::new(&call, Reason::ServerError, &what));
            let certificate = certificate(answer.certificate).map_err(unreadable)?;
            if certificate.arn != arn {
                return Err(unreadable("the answer is about another certificate".to_owned()));
            }
            Ok(Answer::One(Arc::new(certificate)))
        };
        match self.ask(&call, format!("describe {arn}"), question).await? {
            Answer::One(certificate) => Ok(certificate),
            Answer::List(_) => Err(CallError::mixed_up(&call)),
        }
    }

    /// All certificates, whatever their key, status and type.
    async fn list(&self) -> Result<Arc<Vec<Listed>>, CallError> {
        let call = "list the certificates of ACM";
        let question = || async {
            let mut all = Vec::new();
            let mut next: Option<String> = None;
            for _ in 0..PAGES {
                let request = self.0.client.list_certificates().includes(every_key()).max_items(PER_PAGE);
                let page = boxed(request.set_next_token(next).send())
                    .await
                    .map_err(|error| failed(call, "acm:ListCertificates", error))?;
                let Some(listed) = &page.certificate_summary_list else {
                    return Err(CallError::new(call, Reason::ServerError, "the answer holds no list").into());
                };
                for one in listed {
                    let Some(arn) = one.certificate_arn() else { continue };
                    let names = one.domain_name().into_iter().map(str::to_owned);
                    let more = one.subject_alternative_name_summaries().iter().cloned();
                    // Where none are listed, there may be some.
                    let has_more = one.has_additional_subject_alternative_names().unwrap_or_default()
                        || one.subject_alternative_name_summaries().is_empty();
                    all.push(Listed { arn: arn.to_owned(), names: names.chain(more).collect(), has_more });
                }
                next = page.next_token;
                if next.is_none() {
                    return Ok(Answer::List(Arc::new(all)));
                }
            }
            let message = format!("there are more than {PAGES} pages; name the certificate by its ARN");
            Err(Failure::from(CallError::new(call, Reason::ClientError, &message)))
        };
        match self.ask(call, "list".to_owned(), question).await? {
            Answer::List(all) => Ok(all),
            Answer::One(_) => Err(CallError::mixed_up(call)),
        }
    }

    async fn ask<F>(&self, call: &str, question: String, ask: impl Fn() -> F) -> Result<Answer, CallError>
    where
        F: Future<Output = Result<Answer, Failure>>,
    {
        self.0.answers.ask(question, || self.0.aws.ask(call, ask)).await
    }
}

/// Without it only those with RSA keys of 1024 and 2048 bits are listed.
/// Source: <https://docs.aws.amazon.com/acm/latest/APIReference/API_Filters.html>.
fn every_key() -> Filters {
    let all = KeyAlgorithm::values().iter().map(|name| KeyAlgorithm::from(*name)).collect();
    Filters::builder().set_key_types(Some(all)).build()
}
