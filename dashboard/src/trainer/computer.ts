import type { Order, Report, Trained, TrainOrder } from "../exact/protocol";

type Waiting = { resolve: (report: Report) => void; reject: (why: Error) => void };
export interface Heard {
  step(step: number, loss: number, seconds: number): void;
  checkpoint(step: number, file: ArrayBuffer): void;
}

/** The worker behind the page. One thing at a time. */
export class Computer {
  private readonly worker: Worker;
  private waiting: Waiting | undefined;
  private heard: Heard | undefined;
  private readonly started: Promise<Report>;
  kernel = "";

  constructor() {
    this.worker = new Worker(new URL("../exact/worker.ts", import.meta.url), { type: "module" });
    this.started = this.answer();
    this.worker.onmessage = (message: MessageEvent<Report>) => this.take(message.data);
    this.worker.onerror = (event) =>
      this.fail(new Error(event.message || "The worker of this page did not start."));
  }

  /** Rejects where this browser cannot run the kernels. */
  async ready(): Promise<void> {
    const report = await this.started;
    if (report.kind === "ready") this.kernel = report.kernel;
  }

  async solve(challenge: string, key: string, difficulty: number): Promise<string> {
    const report = await this.ask({ kind: "solve", challenge, key, difficulty });
    if (report.kind !== "solved") throw new Error("The worker answered something else.");
    return report.nonce;
  }

  async train(order: TrainOrder, heard: Heard): Promise<Trained> {
    this.heard = heard;
    const report = await this.ask(order);
    if (report.kind !== "trained") throw new Error("The worker answered something else.");
    return report;
  }

  async reveal(): Promise<ArrayBuffer> {
    const report = await this.ask({ kind: "reveal" });
    if (report.kind !== "revealed") throw new Error("The worker answered something else.");
    return report.file;
  }

  share(share: number): void {
    this.send({ kind: "share", share });
  }

  hold(held: boolean): void {
    this.send({ kind: "hold", held });
  }

  counted(yes: boolean): void {
    this.send({ kind: "counted", update: yes ? "yes" : "no" });
  }

  private send(order: Order): void {
    this.worker.postMessage(order);
  }

  private answer(): Promise<Report> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
    });
  }

  private ask(order: Order): Promise<Report> {
    const answered = this.answer();
    this.send(order);
    return answered;
  }

  private take(report: Report): void {
    if (report.kind === "step") this.heard?.step(report.step, report.loss, report.seconds);
    else if (report.kind === "checkpoint") this.heard?.checkpoint(report.step, report.file);
    else if (report.kind === "failed") this.fail(new Error(report.reason));
    else {
      this.waiting?.resolve(report);
      this.waiting = undefined;
    }
  }

  private fail(why: Error): void {
    this.waiting?.reject(why);
    this.waiting = undefined;
  }
}
