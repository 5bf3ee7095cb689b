import { Heading } from "../parts/shell";

export function InferencePage() {
  return <Heading title="Inference" />;
}
