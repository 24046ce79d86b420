//! A call that is priced by the table: charged for what came from the cache, and recorded with its row.

use genops_core::price::Tokens;
use genops_gateway::stand_in::StandIn;

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_without_a_price_of_its_own_is_charged_by_the_table_and_says_by_which_row() {
    let says = r#"{"model":"gpt-4o-mini-2024-07-18","usage":{"prompt_tokens":12,"completion_tokens":20,
        "prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":5}}}"#;
    let house = House::with(StandIn { says: Some(says), ..StandIn::default() }, "").await;
    let body = r#"{"model":"gpt-4o-mini","max_tokens":20,"messages":[]}"#;
    let answer = house.chat(body).await;
    assert_eq!(answer.status, 200);
    let awu = house.ended(&answer).await;
    // Reserved: 53 bytes x 0.15 + 20 x 0.6 = 7.95 + 12 millionths, without any discount.
    assert_eq!((body.len(), awu.reserved.as_deref()), (53, Some("0.00001995")));
    // Charged: 4 x 0.15 + 8 x 0.075 + 20 x 0.6 = 0.6 + 0.6 + 12 millionths.
    assert_eq!(awu.actual.as_deref(), Some("0.0000132"));
    let row = awu.price_row.unwrap();
    assert!(row.starts_with("genai-prices 20") && row.ends_with(" openai/gpt-4o-mini"), "{row}");
    let tokens = awu.tokens.unwrap();
    let expected = Tokens { cached_input: 8, reasoning: 5, ..Tokens::new(12, 20) };
    assert_eq!((tokens.input, tokens.output), (expected.input, expected.output));
    assert_eq!((tokens.cached_input, tokens.reasoning), (expected.cached_input, expected.reasoning));
    drop(house.close().await);
}
