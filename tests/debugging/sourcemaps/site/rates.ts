// Rates of exchange. Umlauts and signs beyond 16 bits stand before the code on purpose: columns count UTF-16 units.
const label = "Wechselkurs für 🪙";

export function convert(total: number, currency?: string): number {
  if (!currency) {
    throw new RangeError("no rate: " + label);
  }
  return total * 2;
}
