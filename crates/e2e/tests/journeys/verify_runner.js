// Stands after the documented `verifyToktraSignature`, unchanged: asks it about the cases on standard input, prints one answer each.
// `timingSafeEqual` throws where the lengths differ, which the documentation tells to take as a refusal.
const cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answers = cases.map(({ payload, secret, header }) => {
  try {
    return verifyToktraSignature(Buffer.from(payload, "base64"), secret, header);
  } catch (error) {
    if (error.code === "ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH") return false;
    throw error;
  }
});
console.log(JSON.stringify(answers));
