use super::*;

#[test]
fn communities_survive_their_text() {
    for text in ["65000:100", "0:0", "65535:65535", "no-export", "graceful-shutdown", "blackhole"] {
        assert_eq!(text.parse::<Community>().unwrap().to_string(), text);
    }
    assert_eq!("65535:65281".parse(), Ok(Community::NO_EXPORT));
    for text in ["4294967295:0:1", "0:0:0"] {
        assert_eq!(text.parse::<LargeCommunity>().unwrap().to_string(), text);
    }
    for text in
        ["rt:65000:100", "ro:10.0.0.1:7", "rt:4200000000:7", "0x4300000000000001", "0x0002000000000000"]
    {
        let community: ExtendedCommunity = text.parse().unwrap();
        assert_eq!(community.to_string().parse(), Ok(community), "{text}");
    }
}

#[test]
fn every_extended_community_survives_its_text() {
    for kind in [0, 1, 2, 0x40, 0x43] {
        for subtype in [0, 2, 3, 0x0b] {
            for administrator in [[0, 0, 0, 1], [0xff, 0xff, 0, 0], [10, 0, 0, 1]] {
                let [a, b, c, d] = administrator;
                let community = ExtendedCommunity([kind, subtype, a, b, c, d, 0, 9]);
                assert_eq!(community.to_string().parse(), Ok(community), "{community}");
            }
        }
    }
}

#[test]
fn bad_texts_are_refused_with_their_rule() {
    for text in ["", "1", "65536:0", "1:65536", "1:2:3", "+1:2", "1:", ":", "no-such"] {
        assert!(text.parse::<Community>().is_err(), "{text}");
    }
    for text in ["1:2", "1:2:3:4", "4294967296:0:0", "1::2", "-1:0:0"] {
        assert!(text.parse::<LargeCommunity>().is_err(), "{text}");
    }
    for text in ["rt:1", "xx:1:2", "rt:10.0.0.1:65536", "rt:4200000000:65536", "0x12", "0x+000000000000001"] {
        assert!(text.parse::<ExtendedCommunity>().is_err(), "{text}");
    }
    let error = "65536:0".parse::<Community>().unwrap_err().to_string();
    assert_eq!(
        error,
        "\"65536:0\" is not a valid community: two numbers of 0 to 65535 with a colon between them, or a well-known name"
    );
}
