//! Names of resources.

/// `arn:partition:service:region:account:resource`, taken apart.
///
/// Source: AWS docs, Identify AWS resources with Amazon Resource Names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// The service, for example `kinesis`.
    pub service: &'a str,
    /// The region; empty for global services.
    pub region: &'a str,
    /// The number of the account.
    pub account: &'a str,
    /// The rest, for example `stream/events`.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Takes a name apart; `None` if it is none.
    pub fn parse(text: &'a str) -> Option<Arn<'a>> {
        let mut parts = text.splitn(6, ':');
        let (Some("arn"), Some(partition)) = (parts.next(), parts.next()) else { return None };
        let arn = Arn {
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        };
        let graphic = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        (graphic && partition.starts_with("aws") && !arn.resource.is_empty()).then_some(arn)
    }
}

/// The part of the cloud that a region belongs to, as ARNs write it.
pub(crate) fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// What the addresses of a region's services end with.
pub(crate) fn domain(region: &str) -> &'static str {
    match partition(region) {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_taken_apart() {
        let arn = Arn::parse("arn:aws:kinesis:eu-west-1:123456789012:stream/a:b");
        let expected =
            Arn { service: "kinesis", region: "eu-west-1", account: "123456789012", resource: "stream/a:b" };
        assert_eq!(arn, Some(expected));
        for none in
            ["", "arn", "arn:aws:kinesis:eu-west-1:1", "arn:aws:a:b:c:", "events", "arn:aws:a:b:c:\"x"]
        {
            assert_eq!(Arn::parse(none), None, "{none}");
        }
    }

    #[test]
    fn china_and_the_government_have_partitions_of_their_own() {
        assert_eq!(partition("cn-north-1"), "aws-cn");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        assert_eq!(partition("us-east-1"), "aws");
        assert_eq!(domain("cn-north-1"), "amazonaws.com.cn");
    }
}
