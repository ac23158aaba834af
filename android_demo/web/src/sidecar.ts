/** Reading sidecars, the NAME.json beside NAME.tflite, by the schema that their writer enforces. */

import schema from "../../../export/tfi2i_export/sidecar.schema.json";
import { Problem, reason } from "./problem";

/** The number of the format; larger ones are newer and may mean something else. */
const SCHEMA = 2;

/** Tensors of schema 1 lack these. Of inputs besides the picture it did not say what they are. */
const ADDED = {
  kind: null,
  names: [],
  exclusive: true,
  distribution: null,
  presets: [],
  encoder: null,
};
const FORMER_KIND = "style";
const LARGEST_FLOAT = (2 - 2 ** -23) * 2 ** 127; // in float32

/** A value for an input, nested as the input's shape is without its first axis. */
export interface Preset {
  name: string;
  values: unknown[];
}

export interface Tensor {
  name: string;
  shape: number[];
  dtype: string;
  range: [number, number] | null;
  domain: string | null;
  kind: "style" | "latent" | "label" | "picture" | null;
  names: string[];
  exclusive: boolean;
  distribution: "normal" | "uniform" | null;
  presets: Preset[];
  encoder: string | null;
  aspect?: "squash" | "crop" | null;
}

/** The fields of a sidecar that the page uses; sidecar.schema.json describes all of them. */
export interface Sidecar {
  name: string;
  file: string;
  sha256: string;
  size_bytes: number;
  format: string;
  system: string;
  direction: string;
  domains: { source: string | null; target: string | null };
  data: string;
  run: string;
  step: number;
  multiple: number;
  io: string;
  /** Numbers in files that are black and white. */
  value_range?: [number, number] | null;
  /** Numbers that black and white of what comes out stand for. */
  target_range?: [number, number] | null;
  signatures: { name: string; inputs: Tensor[]; outputs: Tensor[] }[];
  agreement: { psnr_db_mean: number | null; psnr_db_worst: number | null; passed: boolean } | null;
  licence: string | null;
  warnings: string[];
}

/** The part of JSON Schema that sidecar.schema.json uses. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  pattern?: string;
  minimum?: number;
  minItems?: number;
  maxItems?: number;
  required?: string[];
  properties?: Record<string, Schema>;
  additionalProperties?: Schema;
  items?: Schema;
}

/** Throws a Problem if the text is no sidecar that this page can read; `label` names it there. */
export function readSidecar(text: string, label: string): Sidecar {
  const values = parsed(text, label);
  const number = isObject(values) ? values.schema : undefined;
  if (Number.isInteger(number) && (number as number) > SCHEMA) {
    throw new Problem(
      `${label} was made by a newer tfi2i (sidecar schema ${number}; this page reads ${SCHEMA}); ` +
        "build the page with that version.",
    );
  }
  if (isObject(values) && number === 1) update(values);
  let wrong = problemOf(values, schema as Schema, "");
  const sidecar = values as unknown as Sidecar;
  wrong ??= misfit(sidecar);
  if (wrong) throw new Problem(`${label} is not a sidecar: ${wrong}; export the model again.`);
  return sidecar;
}

/** Values to choose from: the names of an exclusive label, otherwise the presets. */
export function choicesOf({ kind, exclusive, names, shape, presets }: Tensor): Preset[] {
  const isOneOf = kind === "label" && exclusive && names.length > 0;
  if (!isOneOf || shape.length !== 2 || shape[1] !== names.length) return presets;
  return names.map((name, i) => ({ name, values: names.map((_, j) => (i === j ? 1 : 0)) }));
}

/** Whether an input besides the picture is one, too. */
export function isPicture({ kind }: Tensor): boolean {
  return kind === "picture";
}

/** Fills in what schema 1 lacks; what is no sidecar stays as it is, to be refused. */
function update(values: Record<string, unknown>): void {
  values.schema = SCHEMA;
  for (const { inputs, outputs } of objects(values.signatures)) {
    for (const tensor of [...objects(inputs), ...objects(outputs)]) Object.assign(tensor, ADDED);
    for (const tensor of objects(inputs).slice(1)) tensor.kind = FORMER_KIND;
  }
}

function objects(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

/** Says which range or preset of a file that keeps to the schema is wrong. */
function misfit(sidecar: Sidecar): string | undefined {
  for (const key of ["value_range", "target_range"] as const) {
    const [low, high] = sidecar[key] ?? [0, 1];
    if (low >= high) return `${key} is ${shown([low, high])} and has to rise`;
  }
  const { signatures } = sidecar;
  for (const [i, { inputs }] of signatures.entries()) {
    for (const [j, { presets, shape }] of inputs.entries()) {
      const k = presets.findIndex(({ values }) => !fits(values, shape.slice(1)));
      if (k < 0) continue;
      const where = `signatures[${i}].inputs[${j}].presets[${k}].values`;
      return `${where} has to hold numbers nested as ${shown(shape.slice(1))}`;
    }
  }
  return undefined;
}

function fits(value: unknown, [length, ...rest]: number[]): boolean {
  if (length === undefined) return typeof value === "number" && Math.abs(value) <= LARGEST_FLOAT;
  return (
    Array.isArray(value) && value.length === length && value.every((one) => fits(one, rest))
  );
}

function parsed(text: string, label: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Problem(`${label} is not JSON (${reason(error)}); export the model again.`);
  }
}

/** Says what is wrong with a value, at the first place where something is. */
function problemOf(value: unknown, rules: Schema, where: string): string | undefined {
  if (rules.$ref) {
    const name = rules.$ref.replace("#/$defs/", "") as keyof typeof schema.$defs;
    return problemOf(value, schema.$defs[name] as Schema, where);
  }
  const what = where || "the file";
  const types = [rules.type ?? []].flat();
  if (types.length && !types.some((type) => isOfType(value, type))) {
    return `${what} is ${shown(value)} and has to be ${types.join(" or ")}`;
  }
  if (rules.enum && !rules.enum.includes(value)) {
    return `${what} is ${shown(value)} and has to be one of ${shown(rules.enum)}`;
  }
  if (typeof value === "string" && rules.pattern && !new RegExp(rules.pattern, "u").test(value)) {
    return `${what} is ${shown(value)} and has to match ${rules.pattern}`;
  }
  if (typeof value === "number" && value < (rules.minimum ?? value)) {
    return `${what} is ${value} and has to be ${rules.minimum} or more`;
  }
  if (Array.isArray(value)) return problemOfArray(value, rules, what);
  return isObject(value) ? problemOfObject(value, rules, where) : undefined;
}

function problemOfObject(
  value: Record<string, unknown>,
  rules: Schema,
  where: string,
): string | undefined {
  const missing = rules.required?.find((key) => !Object.hasOwn(value, key));
  if (missing) return `${where || "the file"} lacks ${missing}`;
  for (const [key, item] of Object.entries(value)) {
    const known = Object.hasOwn(rules.properties ?? {}, key) ? rules.properties?.[key] : undefined;
    const rule = known ?? rules.additionalProperties;
    const place = known ? key : shown(key);
    const wrong = rule && problemOf(item, rule, where ? `${where}.${place}` : place);
    if (wrong) return wrong;
  }
  return undefined;
}

function problemOfArray(value: unknown[], rules: Schema, what: string): string | undefined {
  const { minItems = 0, maxItems } = rules;
  if (value.length < minItems || value.length > (maxItems ?? value.length)) {
    const exactly = minItems === maxItems ? `${minItems}` : `${minItems} to ${maxItems}`;
    const wanted = maxItems === undefined ? `${minItems} or more` : exactly;
    return `${what} has ${value.length} entries and has to have ${wanted}`;
  }
  for (const [index, item] of value.entries()) {
    const wrong = rules.items && problemOf(item, rules.items, `${what}[${index}]`);
    if (wrong) return wrong;
  }
  return undefined;
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "object") return isObject(value);
  if (type === "array") return Array.isArray(value);
  if (type === "null") return value === null;
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}
