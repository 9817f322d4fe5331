// A small shop in a browser, whose minified script the tests have fail and read back.
import { convert } from "./rates";

interface Order {
  total: number;
  currency?: string;
}

export function charge(order: Order): number {
  const currency = order.currency;
  return convert(order.total, currency);
}

declare global {
  interface Window {
    charge: typeof charge;
  }
}

globalThis.charge = charge;
