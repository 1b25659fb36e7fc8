// A user and the mail that welcomes them, in one transaction of Prisma.
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./generated/client.js";

const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: process.env.DATABASE_URL, max: 5 }) });

export async function signUp(email: string): Promise<string> {
  return await prisma.$transaction(async (tx) => {
    const user = await tx.user.create({ data: { email } });
    const payload = JSON.stringify({ user_id: Number(user.id), to: email });
    const [job] = await tx.$queryRaw<{ id: bigint }[]>`
      INSERT INTO outbox.jobs (queue_name, kind, payload) VALUES ('email:processing', 'welcome', ${payload}::jsonb) RETURNING id`;
    return String(job!.id);
  });
}

export const end = () => prisma.$disconnect();
