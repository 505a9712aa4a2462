// Figures as people read them, rounded in one way: here, and in the kernel (madrox_nb/figures.py).

/**
 * How many hundredths that is, halves upwards. To millionths first: the same parts summed in
 * another order differ by less than that, and must not be shown as two amounts.
 */
export function hundredths(amount: number): number {
  return Math.floor((Math.round(amount * 1_000_000) + 5_000) / 10_000);
}

/** `6.34` */
export const dollars = (usd: number): string => (hundredths(usd) / 100).toFixed(2);

/** `2.5`: without the noughts, where it stands for itself. */
export const short = (usd: number): string => String(hundredths(usd) / 100);

/** `63 %`; all of it is 1. */
export const percent = (part: number): string => `${hundredths(part)} %`;
